#include <salience/error.hpp>

#include <doctest/doctest.h>

#include <sstream>

#include "../grouping_locale.hpp"

using namespace salience;

TEST_CASE("the edit distance is Levenshtein's, without regard to case") {
  CHECK(salience::detail::edit_distance("", "") == 0);
  CHECK(salience::detail::edit_distance("", "abc") == 3);
  CHECK(salience::detail::edit_distance("kitten", "sitting") == 3);
  CHECK(salience::detail::edit_distance("Viridis", "viridis") == 0);
}

TEST_CASE("the nearest names come first, and a name that contains the word counts as near") {
  const std::vector<std::string> names{"magma", "plasma", "viridis", "viridis_r"};
  CHECK(salience::detail::nearest("virids", names, 2) == "'viridis', 'viridis_r'");
  CHECK(salience::detail::nearest("plas", names, 1) == "'plasma'");
  CHECK(salience::detail::nearest("x", {}, 3).empty());
}

TEST_CASE("messages name what was met and what was expected") {
  CHECK(std::string(ArgumentError::out_of_range("skew", -1, "a number above 0").what()) ==
        "skew must be a number above 0, got -1");
  const std::vector<std::string> names{"jet"};
  CHECK(std::string(ArgumentError::unknown_name("colour map", "jett", names).what()) ==
        "there is no colour map 'jett'; the nearest are 'jet'");
  CHECK(std::string(FileError::at("a b.png", "cannot be read").what()) == "a b.png: cannot be read");
}

TEST_CASE("a name of any length from outside makes neither a long message nor long work") {
  const std::string name(std::size_t{1} << 20, 'x');
  const std::vector<std::string> names(200, "features.denseblock4.denselayer16.conv2");
  const std::string message = ArgumentError::unknown_name("layer", name, names).what();
  CHECK(
      message.starts_with("there is no layer '" + std::string(100, 'x') + "...'; the nearest are 'features"));
  CHECK(message.size() < 400);
}

TEST_CASE("names and messages are the same in every locale of the user's program") {
  const support::GroupingLocale grouping;
  REQUIRE((std::ostringstream() << 1234567 << ' ' << 0.5).str() == "1.234.567 0,5");
  CHECK(salience::detail::concat("convolution.", 1234, ' ', std::size_t{1000000}, ' ', 0.5, ' ', 12345.5F) ==
        "convolution.1234 1000000 0.5 12345.5");
  CHECK(std::string(ArgumentError::out_of_range("skew", -1234.5, "a number above 0").what()) ==
        "skew must be a number above 0, got -1234.5");
}

TEST_CASE("every kind of error is an Error and a runtime_error") {
  CHECK_THROWS_AS(throw ArgumentError("x"), Error);
  CHECK_THROWS_AS(throw FileError("x"), Error);
  CHECK_THROWS_AS(throw ModelError("x"), Error);
  CHECK_THROWS_AS(throw TargetError("x"), std::runtime_error);
}
