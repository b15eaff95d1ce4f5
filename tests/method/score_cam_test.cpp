// ScoreCam and AblationCam by their definitions.
#include <ATen/ATen.h>
#include <salience/method/ablation_cam.hpp>
#include <salience/method/score_cam.hpp>
#include <salience/method/smooth_grad.hpp>
#include <salience/model/any_model.hpp>
#include <salience/model/features_head.hpp>
#include <salience/model/last_convolution.hpp>
#include <salience/target/class_score.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <cmath>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "../support.hpp"

using namespace salience;
using support::contains;
using support::distance;
using support::message;
using support::normal;
using support::same;
using support::tensor;

namespace {

const at::Tensor kernel = normal({4, 3, 3, 3}, at::kDouble, 1), weight = normal({4, 5}, at::kDouble, 2);
const at::Tensor x = normal({3, 3, 9, 7}, at::kDouble, 3) + normal({3, 3, 1, 1}, at::kDouble, 4);

// A layer that is coarser than the input, and a head that is not linear.
const auto features = [](const at::Tensor& input) { return at::conv2d(input, kernel, {}, 2, 1); };
const auto head = [](const at::Tensor& a) {
  const at::Tensor mean = (a.tanh() + 0.1 * a.square()).mean(at::IntArrayRef{2, 3});
  return mean.matmul(weight);
};
const FeaturesHead network(features, head);
const std::int64_t label = 2;

/// As the library brings a map to the input's size.
at::Tensor upsampled(const at::Tensor& map, const at::Tensor& input) {
  const at::IntArrayRef sizes = input.sizes().slice(2);
  if (sizes.size() == 1) return at::upsample_linear1d(map, sizes, false);
  return sizes.size() == 2 ? at::upsample_bilinear2d(map, sizes, false)
                           : at::upsample_trilinear3d(map, sizes, false);
}

/// The scores of one sample (1, ...) seen through each channel of `grid` (1, C, places...).
template <class Score>
at::Tensor masked_scores(const at::Tensor& input, const at::Tensor& grid, const Score& score) {
  std::vector<at::Tensor> scores;
  for (std::int64_t k = 0; k < grid.size(1); ++k) {
    const at::Tensor m = upsampled(grid.narrow(1, k, 1), input);
    scores.push_back(score(input * ((m - m.min()) / (m.max() - m.min()))).reshape({1}));
  }
  return at::cat(scores);
}

/// Weights (C) and a grid (1, C, places...).
at::Tensor weighted(const at::Tensor& grid, const at::Tensor& weights) {
  std::vector<std::int64_t> sizes(static_cast<std::size_t>(grid.dim()), 1);
  sizes[1] = grid.size(1);
  return (grid * weights.view(sizes)).sum(1, true);
}

template <class Model>
at::Tensor score_cam_by_hand(const Model& model, const at::Tensor& input, const at::Tensor& grid) {
  const auto score = [&](const at::Tensor& masked) { return model(masked).select(1, label); };
  return weighted(grid, masked_scores(input, grid, score).softmax(0));
}

/// The features without channel k.
at::Tensor without(const at::Tensor& a, std::int64_t k, std::int64_t dimension = 1) {
  const at::Tensor one = a.clone();
  one.select(dimension, k).zero_();
  return one;
}

template <class Head>
at::Tensor ablation_cam_by_hand(const Head& behind, const at::Tensor& a) {
  const double clean = behind(a)[0][label].template item<double>();
  std::vector<double> weights;
  for (std::int64_t k = 0; k < a.size(1); ++k)
    weights.push_back((clean - behind(without(a, k))[0][label].template item<double>()) / std::abs(clean));
  return weighted(a, at::tensor(weights, at::kDouble));
}

/// Two layers of the same channels, that can be cut at.
struct TwoLayers {
  std::shared_ptr<std::atomic<int>> runs =
      std::make_shared<std::atomic<int>>(0);  // of what is behind a layer

  at::Tensor first(const at::Tensor& input) const { return features(input); }
  at::Tensor second(const at::Tensor& a) const { return a.sigmoid() * a; }
  at::Tensor operator()(const at::Tensor& input) const { return head(second(first(input))); }
  Tapped tapped(const at::Tensor& input, std::span<const std::string> layers) const {
    const at::Tensor a = first(input), b = second(a);
    Tapped result{head(b), {}};
    for (const std::string& name : layers) result.layers.push_back(name == "first" ? a : b);
    result.channels.assign(layers.size(), ChannelAxis::first);
    return result;
  }
  std::function<at::Tensor(const at::Tensor&)> until(const std::string& layer) const {
    if (layer == "first") return [this](const at::Tensor& input) { return first(input); };
    return [this](const at::Tensor& input) { return second(first(input)); };
  }
  std::function<at::Tensor(const at::Tensor&)> from(const std::string& layer, const at::Tensor&) const {
    return [*this, layer](const at::Tensor& a) {
      *runs += static_cast<int>(a.size(0));
      return layer == "first" ? head(second(a)) : head(a);
    };
  }
};

template <class Method>
void check_batch(const Method& method, const at::Tensor& input) {
  const Attribution batch = method(input);
  for (std::int64_t n = 0; n < input.size(0); ++n) {
    const Attribution one = method(input.narrow(0, n, 1));
    CHECK(distance(batch.values.narrow(0, n, 1), one.values) < 1e-12);
    CHECK(same(batch.nothing_positive.narrow(0, n, 1), one.nothing_positive));
  }
}

}  // namespace

TEST_CASE("Score-CAM: the softmax of the scores of the input seen through each channel weighs the channels") {
  const Attribution raw = ScoreCam(network, {.relu = false, .upsample = false})(x, ClassIndex{label});
  const Attribution map = ScoreCam(network)(x, ClassIndex{label});
  for (std::int64_t n = 0; n < x.size(0); ++n) {
    const at::Tensor one = x.narrow(0, n, 1);
    const at::Tensor expected = score_cam_by_hand(network, one, features(one));
    CHECK(expected.min().item<double>() < 0.0);  // or relu would show nothing
    CHECK(distance(raw.values.narrow(0, n, 1), expected) < 1e-13);
    CHECK(distance(map.values.narrow(0, n, 1), upsampled(expected.clamp_min(0), one)) < 1e-13);
  }
  CHECK((map.values_of == ValuesOf::regions));
  CHECK(same(map.score, network(x).select(1, label)));
}

TEST_CASE("Score-CAM: the target's score, whose shift has no effect; or the scores themselves as weights") {
  const auto raw = ScoreCamOptions{.relu = false, .upsample = false};
  const auto shifted = FeaturesHead(features, [](const at::Tensor& a) { return head(a) + 7.0; });
  CHECK(distance(ScoreCam(shifted, raw)(x).values, ScoreCam(network, raw)(x).values) < 1e-13);
  const at::Tensor one = x.narrow(0, 1, 1), grid = features(one);
  const auto probability = [](const at::Tensor& masked) {
    return network(masked).softmax(1).select(1, label);
  };
  const at::Tensor scores = masked_scores(one, grid, probability);
  const auto target = TargetSelector{ClassIndex{label}, Probability{}};
  CHECK(distance(ScoreCam(network, raw)(one, target).values, weighted(grid, scores.softmax(0))) < 1e-13);
  const ScoreCam plain(network, {.relu = false, .upsample = false, .softmax = false});
  CHECK(distance(plain(one, target).values, weighted(grid, scores)) < 1e-13);
}

TEST_CASE("Ablation-CAM: the share of the score that goes with a channel weighs it") {
  for (const double shift : {100.0, -100.0}) {  // a score below zero does not turn the map
    const auto behind = [shift](const at::Tensor& a) { return head(a) + shift; };
    const FeaturesHead model(features, behind);
    const Attribution raw = AblationCam(model, {.relu = false, .upsample = false})(x, ClassIndex{label});
    const Attribution map = AblationCam(model)(x, ClassIndex{label});
    CHECK(((raw.score > 0) == (shift > 0)).all().item<bool>());
    for (std::int64_t n = 0; n < x.size(0); ++n) {
      const at::Tensor expected = ablation_cam_by_hand(behind, features(x.narrow(0, n, 1)));
      CHECK(distance(raw.values.narrow(0, n, 1), expected) < 1e-13);
      CHECK(distance(map.values.narrow(0, n, 1), upsampled(expected.clamp_min(0), x.narrow(0, n, 1))) <
            1e-13);
    }
  }
}

TEST_CASE("Ablation-CAM: where the score is 0 the losses are the weights") {
  // score = sum of channel 0 - sum of channel 1, of an input with the same sums.
  const at::Tensor a = tensor({1, 2, 3, 4, 4, 3, 2, 1}, {1, 2, 2, 2});
  const FeaturesHead model([](const at::Tensor& input) { return input; },
                           [](const at::Tensor& b) {
                             const at::Tensor sums = b.sum(at::IntArrayRef{2, 3});
                             return sums.select(1, 0) - sums.select(1, 1);
                           });
  const auto first = [](const at::Tensor& output) { return output; };
  const Attribution map = AblationCam(model, {.relu = false})(a, first);
  CHECK(map.score.item<double>() == 0.0);
  CHECK(same(map.values, (a.narrow(1, 0, 1) - a.narrow(1, 1, 1)) * 10.0));
}

TEST_CASE("signals and volumes") {
  const at::Tensor line = normal({2, 3, 12}, at::kDouble, 5),
                   volume = normal({2, 3, 4, 6, 5}, at::kDouble, 6);
  const auto check = [](const at::Tensor& input, const auto& layer) {
    const auto behind = [](const at::Tensor& a) {
      return (a.tanh() + a * a).flatten(2).mean(2).matmul(weight);
    };
    const FeaturesHead model(layer, behind);
    const at::Tensor score = ScoreCam(model, {.relu = false})(input, ClassIndex{label}).values;
    const at::Tensor ablation = AblationCam(model, {.relu = false})(input, ClassIndex{label}).values;
    for (std::int64_t n = 0; n < input.size(0); ++n) {
      const at::Tensor one = input.narrow(0, n, 1), grid = layer(one);
      const at::Tensor by_score = upsampled(score_cam_by_hand(model, one, grid), one);
      CHECK(distance(score.narrow(0, n, 1), by_score) < 1e-13);
      const at::Tensor by_ablation = upsampled(ablation_cam_by_hand(behind, grid), one);
      CHECK(distance(ablation.narrow(0, n, 1), by_ablation) < 1e-12);
    }
  };
  check(line, [](const at::Tensor& s) { return at::conv1d(s, kernel.select(2, 1), {}, 2, 1); });
  check(volume, [](const at::Tensor& v) { return at::conv3d(v, kernel.unsqueeze(2), {}, 2, 1); });
}

TEST_CASE("tokens: a channel of all of them, the class token's too, is ablated; the grid masks the input") {
  const at::Tensor square = normal({2, 3, 8, 8}, at::kDouble, 7);
  const auto tokens = [](const at::Tensor& input) {
    const at::Tensor grid = at::conv2d(input, kernel, {}, 2, 1).flatten(2).transpose(1, 2);
    return at::cat({grid.mean(1, true) * 2.0, grid}, 1);  // behind a class token
  };
  const auto behind = [](const at::Tensor& t) {
    return (t.select(1, 0) * 3.0 + t.tanh().mean(1)).matmul(weight);
  };
  const FeaturesHead model(tokens, behind);
  for (const GridReshape& reshape : {GridReshape(), GridReshape(Tokens{4, 4})}) {
    const at::Tensor score =
        ScoreCam(model, {.relu = false, .upsample = false, .reshape = reshape})(square, ClassIndex{label})
            .values;
    const at::Tensor ablation =
        AblationCam(model, {.relu = false, .upsample = false, .reshape = reshape})(square, ClassIndex{label})
            .values;
    for (std::int64_t n = 0; n < 2; ++n) {
      const at::Tensor one = square.narrow(0, n, 1), t = tokens(one);
      const at::Tensor grid = t.slice(1, 1).transpose(1, 2).reshape({1, 4, 4, 4});
      CHECK(distance(score.narrow(0, n, 1), score_cam_by_hand(model, one, grid)) < 1e-13);
      const double clean = behind(t)[0][label].item<double>();
      std::vector<double> weights;
      for (std::int64_t k = 0; k < 4; ++k)
        weights.push_back((clean - behind(without(t, k, 2))[0][label].item<double>()) / std::abs(clean));
      CHECK(distance(ablation.narrow(0, n, 1), weighted(grid, at::tensor(weights, at::kDouble))) < 1e-13);
    }
  }
}

TEST_CASE("several layers: the mean of their maps, each by its largest absolute value") {
  const TwoLayers model;
  const auto check = [](const auto& map) {
    const at::Tensor first = map({"first"}), second = map({"second"});
    const auto scaled = [](const at::Tensor& m) { return m / m.abs().amax(at::IntArrayRef{1, 2, 3}, true); };
    CHECK(distance(first, second) > 1e-2);
    CHECK(distance(map({"first", "second"}), (scaled(first) + scaled(second)) / 2.0) < 1e-12);
  };
  check([&](const LayerNames& names) {
    return ScoreCam(model, {.layer = names, .upsample = false})(x, ClassIndex{label}).values;
  });
  check([&](const LayerNames& names) {
    return AblationCam(model, {.layer = names, .upsample = false})(x, ClassIndex{label}).values;
  });
}

TEST_CASE(
    "a channel of one value everywhere masks all; one of zeros is not ablated: no evaluation for them") {
  const auto calls = std::make_shared<std::atomic<int>>(0);
  const auto flat = [](const at::Tensor& input) {  // channels 1 and 3 are constant, 3 is zero
    const at::Tensor scale = at::tensor({1.0, 0.0, -1.0, 0.0}, at::kDouble).view({1, 4, 1, 1});
    return features(input) * scale + at::tensor({0.0, 0.3, 0.0, 0.0}, at::kDouble).view({1, 4, 1, 1});
  };
  const FeaturesHead model(flat, [calls](const at::Tensor& a) {
    *calls += static_cast<int>(a.size(0));
    return head(a);
  });
  const at::Tensor one = x.narrow(0, 0, 1), grid = flat(one);
  const at::Tensor values =
      ScoreCam(model, {.relu = false, .upsample = false})(one, ClassIndex{label}).values;
  CHECK(calls->load() == 1 + 3);  // the input, channels 0 and 2, and nothing
  const auto score = [&](const at::Tensor& masked) { return head(flat(masked)).select(1, label); };
  at::Tensor scores = masked_scores(one, grid, score);
  const at::Tensor of_nothing = score(one * 0.0).squeeze(0);
  scores[1] = of_nothing;
  scores[3] = of_nothing;
  CHECK(distance(values, weighted(grid, scores.softmax(0))) < 1e-13);
  *calls = 0;
  const at::Tensor ablated =
      AblationCam(model, {.relu = false, .upsample = false})(one, ClassIndex{label}).values;
  CHECK(calls->load() == 1 + 3);
  CHECK(distance(ablated, ablation_cam_by_hand(head, grid)) < 1e-13);
}

TEST_CASE("Score-CAM: rounding in a channel of one value is not spread over the mask") {
  const FeaturesHead model(
      [](const at::Tensor& input) {
        return at::cat({at::full({input.size(0), 1, 3, 3}, 0.1, input.options()),
                        input.narrow(1, 0, 1).slice(2, 0, 3).slice(3, 0, 3)},
                       1);
      },
      [](const at::Tensor& a) {
        return a.sum(at::IntArrayRef{1, 2, 3}).unsqueeze(1) * 5.0;
      });
  const at::Tensor one = x.narrow(0, 0, 1).to(at::kFloat);
  std::vector<at::Tensor> seen;
  const auto watched = [&](const at::Tensor& input) {
    seen.push_back(input.clone());
    return input;
  };
  const FeaturesHead watching(
      [&](const at::Tensor& input) { return at::Tensor(model.until("")(watched(input))); },
      model.from("", one));
  (void)ScoreCam(watching, {.chunk = 1})(one);
  REQUIRE(seen.size() == 3);
  CHECK(seen[1].abs().max().item<float>() == 0.0F);
}

TEST_CASE("Ablation-CAM runs nothing but what is behind the layer") {
  const TwoLayers model;
  (void)AblationCam(model, {.layer = "second"})(x);
  CHECK(model.runs->load() == 3 * 4);
}

TEST_CASE("promise 3: a batch gives what its samples give, and any chunk the same") {
  check_batch(ScoreCam(network), x);
  check_batch(AblationCam(network), x);
  for (const std::int64_t chunk : {1, 2, 5, 100}) {
    CHECK(distance(ScoreCam(network, {.chunk = chunk})(x).values, ScoreCam(network)(x).values) < 1e-13);
    CHECK(distance(AblationCam(network, {.chunk = chunk})(x).values, AblationCam(network)(x).values) < 1e-13);
  }
}

TEST_CASE("a model that holds something for each sample gets the rows of its samples") {
  struct Conditioned {
    at::Tensor condition;  // (N, 5)
    at::Tensor operator()(const at::Tensor& a) const { return head(a) * condition; }
    Conditioned for_samples(const at::Tensor& samples) const { return {condition.index_select(0, samples)}; }
  };
  const at::Tensor condition = normal({3, 5}, at::kDouble, 9);
  const auto model_of = [&](std::int64_t first, std::int64_t count) {
    return FeaturesHead(features, Conditioned{condition.narrow(0, first, count)});
  };
  const auto check = [&](const auto& make) {
    const Attribution whole = make(model_of(0, 3))(x, ClassIndex{label});
    for (std::int64_t n = 0; n < 3; ++n) {
      const Attribution one = make(model_of(n, 1))(x.narrow(0, n, 1), ClassIndex{label});
      CHECK(distance(whole.values.narrow(0, n, 1), one.values) < 1e-13);
    }
  };
  check([](const auto& model) { return ScoreCam(model, {.relu = false, .chunk = 4}); });
  check([](const auto& model) { return AblationCam(model, {.relu = false, .chunk = 4}); });
  // The rows of another method are other samples' than their places say.
  check([](const auto& model) {
    return SmoothGrad(ScoreCam(model, {.relu = false, .chunk = 4}), {.samples = 2, .chunk = 2});
  });
  check([](const auto& model) {
    return SmoothGrad(AblationCam(model, {.relu = false, .chunk = 4}), {.samples = 2, .chunk = 2});
  });
}

TEST_CASE("a run that is stopped gives the map of the channels that were evaluated") {
  const at::Tensor one = x.narrow(0, 0, 1), grid = features(one);
  std::vector<Progress> told;
  const auto stop = [&told](const Progress& progress) {
    told.push_back(progress);
    return progress.done < 2;
  };
  const auto score = [](const at::Tensor& masked) { return network(masked).select(1, label); };
  const at::Tensor two = grid.narrow(1, 0, 2);
  const Attribution map = ScoreCam(network, {.relu = false, .upsample = false, .chunk = 3, .progress = stop})(
      one, ClassIndex{label});
  CHECK(map.stopped);
  CHECK(distance(map.values, weighted(two, masked_scores(one, two, score).softmax(0))) < 1e-13);
  REQUIRE(told.size() == 2);
  CHECK(told.back().total == 4);
  const Attribution ablated =
      AblationCam(network, {.relu = false, .upsample = false, .progress = stop})(one, ClassIndex{label});
  CHECK(ablated.stopped);
  const double clean = score(one).item<double>();
  std::vector<double> weights;
  for (std::int64_t k = 0; k < 2; ++k)
    weights.push_back((clean - head(without(grid, k))[0][label].item<double>()) / std::abs(clean));
  CHECK(distance(ablated.values, weighted(two, at::tensor(weights, at::kDouble))) < 1e-13);
  // Of several layers, those that were reached; the count goes on.
  const auto stop_in_second = [](const Progress& progress) {
    CHECK(progress.total == 8);
    return progress.done < 5;
  };
  const TwoLayers model;
  const AblationCam both(model, {.layer = {"first", "second"}, .relu = false, .progress = stop_in_second});
  CHECK(both(one).stopped);
  CHECK(model.runs->load() <= 8);
  const auto stop_in_first = [](const Progress& progress) { return progress.done < 4; };
  const Attribution first_alone =
      ScoreCam(model, {.layer = {"first", "second"}, .relu = false, .progress = stop_in_first})(one);
  const at::Tensor first = ScoreCam(model, {.layer = "first", .relu = false, .upsample = false})(one).values;
  const at::Tensor scaled = upsampled(first / first.abs().max(), one);
  CHECK(distance(first_alone.values, scaled) < 1e-13);
  told.clear();
  const auto stop_at_four = [&told](const Progress& progress) {
    told.push_back(progress);
    return progress.done != 4;
  };
  const AblationCam of_first(model, {.layer = {"first", "second"}, .relu = false, .progress = stop_at_four});
  const at::Tensor lost =
      AblationCam(model, {.layer = "first", .relu = false, .upsample = false})(one).values;
  CHECK(distance(of_first(one).values, upsampled(lost / lost.abs().max(), one)) < 1e-13);
  CHECK(told.size() == 4);
  CHECK_FALSE(ScoreCam(network, {.progress = [](const Progress&) { return true; }})(one).stopped);
}

TEST_CASE("no gradient is needed, any model with layers is masked, and the class is chosen once") {
  const FeaturesHead detached(features, [](const at::Tensor& a) { return head(a.detach()); });
  CHECK(same(ScoreCam(detached)(x).values, ScoreCam(network)(x).values));
  CHECK(same(AblationCam(detached)(x).values, AblationCam(network)(x).values));
  CHECK(distance(ScoreCam(LastConvolution([](const at::Tensor& input) { return network(input); }))(x).values,
                 ScoreCam(network)(x).values) < 1e-13);
  CHECK(
      same(AblationCam(AnyModel(network), {.layer = "features"})(x).values, AblationCam(network)(x).values));
  const Attribution map = ScoreCam(network)(x);
  CHECK(same(map.target, network(x).argmax(1)));
  std::vector<std::int64_t> classes;
  for (std::int64_t n = 0; n < 3; ++n) classes.push_back(map.target[n].item<std::int64_t>());
  CHECK(same(ScoreCam(network)(x, PerSample{classes}).values, map.values));
  CHECK(same(ScoreCam(network).predict(x).score, map.score));
  CHECK(same(AblationCam(network).predict(x).score, map.score));
  CHECK_FALSE(AblationCam(network)(x.detach().requires_grad_(true)).values.requires_grad());
}

TEST_CASE("dtype in is dtype out, and threads get the same bits") {
  const FeaturesHead model(
      [](const at::Tensor& input) { return at::conv2d(input, kernel.to(input), {}, 2, 1); },
      [](const at::Tensor& a) { return head(a.to(at::kDouble)).to(a); });
  for (const at::ScalarType dtype : {at::kFloat, at::kDouble, at::kBFloat16}) {
    const double bound = dtype == at::kDouble ? 1e-12 : dtype == at::kFloat ? 1e-4 : 0.3;
    const at::Tensor score = ScoreCam(model)(x.to(dtype), ClassIndex{label}).values;
    const at::Tensor ablation = AblationCam(model)(x.to(dtype), ClassIndex{label}).values;
    CHECK((score.scalar_type() == dtype));
    CHECK((ablation.scalar_type() == dtype));
    CHECK(support::relative(score, ScoreCam(network)(x, ClassIndex{label}).values) < bound);
    CHECK(support::relative(ablation, AblationCam(network)(x, ClassIndex{label}).values) < bound);
  }
  CHECK(support::same_from_threads(ScoreCam(network), x, 5) == 4 * 5);
  CHECK(support::same_from_threads(AblationCam(network), x, 5) == 4 * 5);
}

TEST_CASE("a map with nothing above zero is flagged") {
  const FeaturesHead model([](const at::Tensor& input) { return -features(input).square(); }, head);
  const Attribution map = ScoreCam(model)(x);
  CHECK(map.nothing_positive.all().item<bool>());
  CHECK(map.values.abs().max().item<double>() == 0.0);
  CHECK_FALSE(ScoreCam(network)(x).nothing_positive.any().item<bool>());
}

TEST_CASE("errors") {
  CHECK(contains(message<ArgumentError>([] { ScoreCam(network, {.chunk = -1}); }), "chunk"));
  CHECK(contains(message<ArgumentError>([] { AblationCam(network, {.chunk = -1}); }), "chunk"));
  CHECK(
      contains(message<ArgumentError>([] { (void)ScoreCam(network, {.layer = "no"})(x); }), "no layer 'no'"));
  CHECK(contains(message<ArgumentError>([] { (void)ScoreCam(network)(x.to(at::kLong)); }),
                 "of a floating type"));
  // A mask needs places, also without upsampling, and those of the input's dimensions.
  const FeaturesHead pooled(
      [](const at::Tensor& input) {
        return features(input).mean(at::IntArrayRef{2, 3}, true);
      },
      head);
  const FeaturesHead vector(
      [](const at::Tensor& input) {
        return features(input).mean(at::IntArrayRef{2, 3});
      },
      [](const at::Tensor& a) { return a.matmul(weight); });
  for (const bool upsample : {true, false}) {
    CHECK(contains(message<ArgumentError>([&] { (void)ScoreCam(pooled, {.upsample = upsample})(x); }),
                   "gives (3, 4, 1, 1), whose channels have no places"));
    CHECK(contains(message<ArgumentError>([&] { (void)ScoreCam(vector, {.upsample = upsample})(x); }),
                   "gives (3, 4), whose channels have no places"));
  }
  const FeaturesHead line([](const at::Tensor& input) { return features(input).flatten(2); },
                          [](const at::Tensor& a) { return a.mean(2).matmul(weight); });
  const auto unmoved = [](const at::Tensor& grid) { return grid; };
  CHECK(contains(
      message<ArgumentError>([&] { (void)ScoreCam(line, {.upsample = false, .reshape = unmoved})(x); }),
      "cannot be upsampled"));
  CHECK(AblationCam(vector)(x).values.sizes() == at::IntArrayRef({3, 1, 9, 7}));
  const auto halves = [](const at::Tensor& layer) {
    return layer.unflatten(1, {2, 2}).transpose(1, 2).flatten(2, 3);
  };
  CHECK(message<ArgumentError>(
            [&] { (void)AblationCam(network, {.upsample = false, .reshape = halves})(x); }) ==
        "the option reshape makes a grid (3, 2, 10, 4) of the last convolution, (3, 4, 5, 4), in which no "
        "dimension has its channels, so that none of them can be set to 0");
  const AnyModel uncut(LastConvolution([](const at::Tensor& input) { return network(input); }));
  CHECK(contains(message<ModelError>([&] { (void)AblationCam(uncut)(x); }), "cannot be cut"));
}

TEST_CASE("Ablation-CAM of a model that lists no layer which gives the last convolution") {
  struct Listing : TwoLayers {
    std::vector<Layer> layers() const { return {{"first", "Conv2d"}}; }
    Tapped tapped(const at::Tensor& input, std::span<const std::string> names) const {
      for (const std::string& name : names) {
        if (name.starts_with("convolution")) throw ArgumentError("there is no such layer");
      }
      return TwoLayers::tapped(input, names);
    }
  };
  const std::string text = message<ModelError>([] { (void)AblationCam(Listing{})(x); });
  CHECK(contains(text, "none of the layers that this model lists"));
  CHECK(contains(text, "name a layer"));
}

static_assert(Attributor<ScoreCam<std::remove_const_t<decltype(network)>>>);
static_assert(Attributor<AblationCam<std::remove_const_t<decltype(network)>>>);
