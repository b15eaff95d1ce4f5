#include <salience/target/target_selector.hpp>

#include <doctest/doctest.h>

#include "../support.hpp"

using namespace salience;
using support::contains;
using support::message;
using support::same;
using support::tensor;

namespace {

const at::Tensor logits = tensor({1, 5, 2, /**/ 7, 7, 3}, {2, 3});

at::Tensor classes(std::vector<std::int64_t> indices) {
  return salience::detail::vector_tensor<std::int64_t>(indices);
}

std::string error(const auto& target, const at::Tensor& output = logits) {
  return message<TargetError>([&] { (void)TargetSelector(target).choose(output); });
}

}  // namespace

TEST_CASE("the default is the predicted class's logit; of equal ones the first") {
  const TargetSelector target;
  CHECK(same(target.choose(logits), classes({1, 0})));
  CHECK(same(target.score(logits, classes({1, 0})), tensor({5, 7}, {2})));
}

TEST_CASE("a class index is the same for every sample, PerSample is one each") {
  CHECK(same(TargetSelector(ClassIndex{2}).choose(logits), classes({2, 2})));
  const TargetSelector each(PerSample{{0, 2}});
  CHECK(same(each.choose(logits), classes({0, 2})));
  CHECK(same(each.score(logits, each.choose(logits)), tensor({1, 3}, {2})));
}

TEST_CASE("probability and log-probability are those of the softmax") {
  const at::Tensor chosen = classes({1, 0});
  const at::Tensor probability = TargetSelector(ArgMax{}, Probability{}).score(logits, chosen);
  const at::Tensor log_probability = TargetSelector(ArgMax{}, LogProbability{}).score(logits, chosen);
  const double expected = std::exp(5.0) / (std::exp(1.0) + std::exp(5.0) + std::exp(2.0));
  CHECK(probability[0].item<double>() == doctest::Approx(expected).epsilon(1e-14));
  CHECK(log_probability[0].item<double>() == doctest::Approx(std::log(expected)).epsilon(1e-14));
}

TEST_CASE("a callable takes the whole output, of any shape, to one score per sample") {
  const TargetSelector target([](const at::Tensor& output) { return output.select(1, 1).sum({1, 2}); });
  const at::Tensor masks = support::normal({2, 3, 4, 5});
  CHECK_FALSE(target.choose(masks).defined());
  CHECK(same(target.score(masks, {}), masks.select(1, 1).sum({1, 2})));
}

TEST_CASE("an output (N) has one class") {
  CHECK(same(TargetSelector{}.choose(tensor({3, 4}, {2})), classes({0, 0})));
  CHECK(contains(error(ClassIndex{1}, tensor({3, 4}, {2})), "no class 1: the model has 1 class (0)"));
}

TEST_CASE("an index out of range is an error that names the range") {
  CHECK(error(ClassIndex{3}) == "there is no class 3: the model has 3 classes (0 to 2)");
  CHECK(error(ClassIndex{-1}) == "there is no class -1: the model has 3 classes (0 to 2)");
  CHECK(contains(error(PerSample{{0, 3}}), "there is no class 3"));
  CHECK(error(PerSample{{0}}) == "there are 1 target indices for 2 samples");
  CHECK(contains(error(ArgMax{}, support::normal({2, 3, 4, 4})), "(2, 3, 4, 4)"));
}

TEST_CASE("a class name is a label, or one of the names between its commas") {
  const Labels labels{"tench, Tinca tinca", "hot dog,red hot", "crane"};
  CHECK(find_label("tench, Tinca tinca", labels) == 0);
  CHECK(find_label("Tinca tinca", labels) == 0);
  CHECK(find_label("red hot", labels) == 1);
  CHECK(find_label("crane", labels) == 2);
  CHECK(same(TargetSelector(ClassName{"crane", labels}).choose(logits), classes({2, 2})));
}

TEST_CASE("a whole label wins over a synonym of another") {
  CHECK(find_label("bank", {"shore, bank", "bank"}) == 1);
}

TEST_CASE("an unknown label names the nearest, an ambiguous one its indices") {
  CHECK(error(ClassName{"hotdog", {"tench", "hot dog"}}) ==
        "there is no label 'hotdog'; the nearest are 'hot dog', 'tench'");
  CHECK(contains(error(ClassName{"crane", {"crane", "tench", "crane"}}),
                 "ambiguous: it stands for the classes 0, 2"));
  CHECK(contains(error(ClassName{"bird", {"crane, bird", "tench", "owl, bird"}}), "classes 0, 2"));
  CHECK(contains(error(ClassName{"x", {}}), "no labels"));
  CHECK(contains(error(ClassName{"", {"a, , b", "c"}}), "no label ''"));
  CHECK(contains(error(ClassName{"d", {"a", "b", "c", "d"}}), "there is no class 3"));
}
