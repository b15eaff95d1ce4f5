#include <salience/view/token_html.hpp>

#include <doctest/doctest.h>

#include <limits>
#include <string>
#include <vector>

#include "../grouping_locale.hpp"
#include "../support.hpp"

using namespace salience;
using support::contains;
using support::message;

namespace {

using Words = std::vector<std::string>;
using Numbers = std::vector<double>;

/// The background that the page gives to the only word of that text.
std::string background(const std::string& html, const std::string& word) {
  const std::size_t end = html.find(">" + word + "</span>");
  const std::size_t begin = html.rfind("background:", end);
  return end == std::string::npos ? "none" : html.substr(begin + 11, 7);
}

std::string entry(const std::string& map, std::size_t i) {
  const auto color = colormap(map)[i];
  std::string text = "#";
  for (const int byte : color) {
    const std::string digits = "0123456789abcdef";
    text += digits[static_cast<std::size_t>(byte / 16)];
    text += digits[static_cast<std::size_t>(byte % 16)];
  }
  return text;
}

}  // namespace

TEST_CASE("the number of a token is the sum over the embedding's dimension") {
  const at::Tensor values = support::normal({2, 3, 5}, at::kFloat);
  for (std::int64_t n = 0; n < 2; ++n) {
    const std::vector<double> numbers = token_values(values, n);
    REQUIRE(numbers.size() == 3);
    for (std::int64_t t = 0; t < 3; ++t) {
      double sum = 0.0;
      for (std::int64_t e = 0; e < 5; ++e) sum += values[n][t][e].item<float>();
      CHECK(numbers[static_cast<std::size_t>(t)] == doctest::Approx(sum).epsilon(1e-12));
    }
  }
  CHECK(token_values(values) == token_values(values, 0));
  CHECK(token_values(values.permute({0, 2, 1}).contiguous().permute({0, 2, 1})) == token_values(values));
  CHECK(message<ArgumentError>([&] { token_values(values[0]); }) ==
        "values of tokens must be of shape (N, T, E), got (3, 5)");
  CHECK(message<ArgumentError>([&] { token_values(values, 2); }) == "sample must be one of 2, got 2");
  CHECK(contains(message<ArgumentError>([&] { token_values(at::Tensor()); }), "(undefined)"));
}

TEST_CASE("a word has the colour of its number, zero in the middle") {
  const Words words{"for", "against", "nothing", "half"};
  const std::string html = token_html(words, Numbers{4.0, -4.0, 0.0, 2.0});
  CHECK(background(html, "for") == entry("RdBu_r", 255));
  CHECK(background(html, "against") == entry("RdBu_r", 0));
  CHECK(background(html, "nothing") == entry("RdBu_r", 128));
  CHECK(background(html, "half") == entry("RdBu_r", 192));
  const std::string other =
      token_html(words, Numbers{4.0, -40.0, 0.0, 2.0}, {.colormap = "coolwarm", .range = 8.0});
  CHECK(background(other, "for") == entry("coolwarm", 192));
  CHECK(background(other, "against") == entry("coolwarm", 0));
  CHECK(background(token_html(Words{"a"}, Numbers{0.0}), "a") == entry("RdBu_r", 128));
  // Dark letters on light, light letters on dark.
  CHECK(contains(html, "background:" + entry("RdBu_r", 128) + ";color:#202020"));
  CHECK(contains(html, "background:" + entry("RdBu_r", 255) + ";color:#ffffff"));
}

TEST_CASE("numbers are titles, whatever the locale") {
  const support::GroupingLocale locale;
  const std::string html = token_html(Words{"a", "b", "c", "d"}, Numbers{12345.678, -0.012341, -0.0, 1e-9});
  CHECK(contains(html, "title=\"+1.235e+04\">a<"));
  CHECK(contains(html, "title=\"-0.01234\">b<"));
  CHECK(contains(html, "title=\"0\">c<"));
  CHECK(contains(html, "title=\"+1e-09\">d<"));
}

TEST_CASE("words are escaped") {
  const std::string html = token_html(Words{"<b>&\"'\n", "caf\xc3\xa9", ""}, Numbers{1.0, 0.0, 0.0});
  CHECK(contains(html, ">&lt;b&gt;&amp;&quot;&#39; </span>"));
  CHECK(contains(html, ">caf\xc3\xa9</span>"));
  CHECK(contains(html, "></span>"));
  CHECK(html.starts_with("<p "));
  CHECK(html.ends_with("</p>\n"));
}

TEST_CASE("misuse has one sentence") {
  CHECK(message<ArgumentError>([] {
          token_html(Words{"a", "b"}, Numbers{1.0});
        }) == "words with one number each must be as many of both, at least one, got 2 and 1");
  CHECK(contains(message<ArgumentError>([] { token_html(Words{}, Numbers{}); }), "got 0 and 0"));
  CHECK(contains(message<ArgumentError>(
                     [] { token_html(Words{"a"}, Numbers{std::numeric_limits<double>::quiet_NaN()}); }),
                 "the number of a word must be finite, got nan"));
  CHECK(contains(message<ArgumentError>([] { token_html(Words{"a"}, Numbers{1.0}, {.range = -1.0}); }),
                 "range must be a number of at least 0, got -1"));
  CHECK(contains(message<ArgumentError>([] { token_html(Words{"a"}, Numbers{1.0}, {.colormap = "RdBo"}); }),
                 "there is no colour map 'RdBo'"));
}
