#include <salience/target/prediction.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "../grouping_locale.hpp"
#include "../support.hpp"
#include "../warnings.hpp"

using namespace salience;
using support::contains;
using support::message;
using support::tensor;

namespace {

struct TextFile {
  explicit TextFile(const std::string& text)
      : path(std::filesystem::temp_directory_path() / "salience labels ü.txt") {
    std::ofstream(path, std::ios::binary) << text;
  }
  ~TextFile() { std::filesystem::remove(path); }
  std::filesystem::path path;
};

}  // namespace

TEST_CASE("top_k ranks by probability and gives softmax, logit, index and label") {
  const at::Tensor logits = tensor({std::log(1.0), std::log(4.0), std::log(3.0), std::log(2.0)}, {1, 4});
  const auto best = top_k(logits, {"a", "b", "c", "d"}, 3);
  REQUIRE(best.size() == 3);
  CHECK(best[0].label == "b");
  CHECK(best[0].index == 1);
  CHECK(best[0].probability == doctest::Approx(0.4).epsilon(1e-14));
  CHECK(best[0].logit == doctest::Approx(std::log(4.0)).epsilon(1e-14));
  CHECK(best[1].label == "c");
  CHECK(best[2].label == "d");
}

TEST_CASE("a k above the number of classes gives all, and probabilities sum to one") {
  double sum = 0.0;
  const auto all = top_k(support::normal({7}, at::kFloat), {}, 100);
  for (const Prediction& p : all) sum += p.probability;
  CHECK(all.size() == 7);
  CHECK(sum == doctest::Approx(1.0).epsilon(1e-12));
  CHECK(all[0].label == std::to_string(all[0].index));
}

TEST_CASE("equal logits are ranked by index") {
  const auto best = top_k(tensor({1, 2, 2, 2}, {4}), {}, 3);
  CHECK(best[0].index == 1);
  CHECK(best[1].index == 2);
  CHECK(best[2].index == 3);
}

TEST_CASE("large logits do not overflow, bfloat16 is taken") {
  CHECK(top_k(tensor({10000, 9999}, {2}))[0].probability == doctest::Approx(1.0 / (1.0 + std::exp(-1.0))));
  CHECK(top_k(tensor({1, 3}, {2}).to(at::kBFloat16))[0].index == 1);
}

TEST_CASE("another number of labels than classes is a warning") {
  const support::CatchWarnings warnings;
  const auto best = top_k(tensor({1, 3}, {2}), {"only one"}, 2);
  REQUIRE(warnings.messages().size() == 1);
  CHECK(contains(warnings.messages()[0], "1 labels for 2 classes"));
  CHECK(best[0].label == "1");
  CHECK(best[1].label == "only one");
}

TEST_CASE("top_k names what it cannot take") {
  CHECK(contains(message<ArgumentError>([] { top_k(tensor({1, 2, 3, 4}, {2, 2})); }), "(2, 2)"));
  CHECK(contains(message<ArgumentError>([] {
                   top_k(tensor({1, 2}, {2}), {}, 0);
                 }),
                 "k must be at least 1, got 0"));
  CHECK(contains(message<ArgumentError>([] { top_k({}); }), "undefined"));
  CHECK(message<ArgumentError>([] {
          top_k(tensor({1, std::nan(""), INFINITY}, {3}));
        }) == "logits must be numbers that have a softmax, got 1 NaN and 1 infinite of 3 values");
  CHECK(contains(message<ArgumentError>([] { top_k(tensor({1, INFINITY}, {2})); }), "1 infinite of 2"));
  CHECK(top_k(tensor({1, -INFINITY}, {2}))[1].probability == 0.0);  // a class that is masked out
}

TEST_CASE("labels are lines; carriage returns and empty lines at the end are dropped") {
  const TextFile file("tench, Tinca tinca\r\n\r\nhot dog\r\n\n\n");
  CHECK(load_labels(file.path) == Labels{"tench, Tinca tinca", "", "hot dog"});
}

TEST_CASE("a byte order mark is no part of the first label") {
  const TextFile file("\xef\xbb\xbftench\r\n\xef\xbb\xbfgoldfish\r\n");
  CHECK(load_labels(file.path) == Labels{"tench", "\xef\xbb\xbfgoldfish"});
  const TextFile mark_alone("\xef\xbb\xbf\n");
  CHECK(contains(message<FileError>([&] { load_labels(mark_alone.path); }), "holds no labels"));
}

TEST_CASE("a class without a label, and warnings, have plain numbers in every locale") {
  const support::GroupingLocale grouping;
  const support::CatchWarnings warnings;
  const at::Tensor logits = at::Tensor(tensor({1}, {1})).expand({2345}).contiguous();
  CHECK(top_k(logits, Labels(1500, "a"), 1501).back().label == "1500");
  REQUIRE(warnings.messages().size() == 1);
  CHECK(contains(warnings.messages()[0], "1500 labels for 2345 classes"));
}

TEST_CASE("a file that holds no labels is an error with its path") {
  CHECK(contains(message<FileError>([] { load_labels("/no/such file.txt"); }), "/no/such file.txt: "));
  CHECK(contains(message<FileError>([] { load_labels(std::filesystem::temp_directory_path()); }),
                 "is a directory"));
  const TextFile empty("\n\n");
  CHECK(contains(message<FileError>([&] { load_labels(empty.path); }), "holds no labels"));
  const TextFile binary(std::string("PK\0\1", 4));
  CHECK(contains(message<FileError>([&] { load_labels(binary.path); }), "is not a text file"));
}
