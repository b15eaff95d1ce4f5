// Neuron, SegmentationTarget and DetectionTarget.
#include <salience/method/gradient_attributor.hpp>
#include <salience/method/integrated_gradients.hpp>
#include <salience/method/smooth_grad.hpp>
#include <salience/target/detection_target.hpp>
#include <salience/target/neuron.hpp>
#include <salience/target/segmentation_target.hpp>

#include <doctest/doctest.h>

#include <string>

#include "../support.hpp"

using namespace salience;
using support::contains;
using support::distance;
using support::message;
using support::normal;
using support::same;

namespace {

const at::Tensor input = normal({3, 2, 5, 6}, at::kDouble, 1);
const at::Tensor mix = normal({4, 2, 1, 1}, at::kDouble, 2);

/// (N, 4, 5, 6)
at::Tensor segmented(const at::Tensor& x) {
  return x.unsqueeze(1).mul(mix).sum(2).sin().add(x.sum(1, true), 0.5);
}

template <class T>
std::string refused(const T& target) {
  return message<TargetError>([&] { gradient_at_input(segmented, input, target); });
}

}  // namespace

TEST_CASE("a neuron is one value, at a position of every dimension but the batch's") {
  const Attribution a = gradient_at_input(segmented, input, Neuron{2, 3, 4});
  CHECK(same(a.score, segmented(input).select(1, 2).select(1, 3).select(1, 4)));
  CHECK(a.values.select(2, 3).select(2, 4).abs().min().item<double>() > 0.0);
  CHECK(a.values.abs().gt(0.0).sum().item<std::int64_t>() == 6);
  CHECK(contains(refused(Neuron{2}), "no neuron at [2]"));
  CHECK(contains(refused(Neuron{2, 5, 0}), "no neuron at [2, 5, 0]"));
  CHECK(contains(refused(Neuron{-1, 0, 0}), "no neuron at [-1, 0, 0]"));
}

TEST_CASE("a class of a segmentation is explained where it was found, in every chunk and batch") {
  const at::Tensor found = segmented(input).argmax(1);
  const std::int64_t index = found.flatten()[7].item<std::int64_t>();
  const SegmentationTarget target{index};
  const Attribution a = gradient_at_input(segmented, input, target);
  CHECK(distance(a.score, segmented(input).select(1, index).mul(found.eq(index)).sum({1, 2})) < 1e-12);
  CHECK(same(a.target, found.eq(index).to(at::kDouble)));
  const at::Tensor mask = normal({3, 5, 6}, at::kDouble, 3);  // a row for each sample
  for (const SegmentationTarget& wanted : {target, SegmentationTarget{index, mask}}) {
    const at::Tensor whole = IntegratedGradients(segmented, {.steps = 4})(input, wanted).values;
    for (const std::int64_t chunk : {1, 2, 5}) {
      CHECK(distance(IntegratedGradients(segmented, {.steps = 4, .chunk = chunk})(input, wanted).values,
                     whole) < 1e-13);
    }
  }
  for (std::int64_t n = 0; n < 3; ++n) {
    const SegmentationTarget one{index, mask.narrow(0, n, 1)};
    const at::Tensor x = input.narrow(0, n, 1);
    const SmoothGrad smooth(GradientAttributor{segmented}, {.samples = 3});
    CHECK(distance(smooth(x, one).values,
                   smooth(input, SegmentationTarget{index, mask}).values.narrow(0, n, 1)) < 1e-13);
  }
  CHECK(distance(gradient_at_input(segmented, input, SegmentationTarget{1, mask[0]}).score,
                 segmented(input).select(1, 1).mul(mask[0]).sum({1, 2})) < 1e-12);
  CHECK(contains(refused(SegmentationTarget{4}), "more than 4 classes"));
  CHECK(contains(refused(SegmentationTarget{1, mask.narrow(1, 0, 4)}),
                 "does not fit places of shape (3, 5, 6)"));
  const at::Tensor lower = support::tensor({0.0, -100.0, 0.0, 0.0}, {4, 1, 1});
  const auto never = [&](const at::Tensor& x) { return segmented(x).add(lower); };
  CHECK(contains(message<TargetError>([&] { gradient_at_input(never, input, SegmentationTarget{1}); }),
                 "gives no place of sample 0 to class 1"));
}

TEST_CASE("a class of a detector is explained at its best box, or at the one that is named") {
  const auto boxes = [](const at::Tensor& x) {
    return segmented(x).flatten(2).transpose(1, 2);
  };  // (N, 30, 4)
  const auto turned = [](const at::Tensor& x) { return segmented(x).flatten(2); };
  const DetectionTarget best{1, {.first_class = 2}};
  const Attribution a = gradient_at_input(boxes, input, best);
  CHECK(same(a.target, boxes(input).select(2, 3).argmax(1)));
  CHECK(same(a.score, std::get<0>(boxes(input).select(2, 3).max(1))));
  CHECK(same(
      gradient_at_input(turned, input, DetectionTarget{1, {.first_class = 2, .boxes_last = true}}).values,
      a.values));
  CHECK(same(gradient_at_input(boxes, input, DetectionTarget{0, {}, 7}).score,
             boxes(input).select(2, 0).select(1, 7)));
  CHECK(contains(message<TargetError>([&] {
                   gradient_at_input(boxes, input, DetectionTarget{2, {.first_class = 2}});
                 }),
                 "with a column 4"));
  CHECK(contains(message<TargetError>([&] {
                   gradient_at_input(boxes, input, DetectionTarget{0, {}, 30});
                 }),
                 "no box 30 among 30"));
}
