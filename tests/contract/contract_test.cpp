// The five promises, for every attributor of the library:
//
//   1  the model and the input are untouched, bit for bit, also if the model throws
//   2  whatever modes the caller's thread is in (inference mode, no_grad, autocast), and these stay
//   3  a batch gives what its samples give one by one, in chunks of any size
//   4  several threads may call one attributor at once
//   5  values in the input's dtype and on its device, detached; the target chosen once, on the clean input
//
// attributors.hpp has the list.

#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>
#include <doctest/doctest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "attributors.hpp"
#include "network.hpp"

using namespace salience;
using namespace contract;
using support::distance;
using support::same;

namespace {

/// The class of the largest output; counts how often it is asked.
struct Counting {
  std::shared_ptr<std::atomic<int>> asked = std::make_shared<std::atomic<int>>(0);
  at::Tensor choose(const at::Tensor& output) const {
    ++*asked;
    return output.argmax(1);
  }
  at::Tensor score(const at::Tensor& output, const at::Tensor& chosen) const {
    return output.gather(1, chosen.unsqueeze(1)).squeeze(1);
  }
};

}  // namespace

TEST_CASE("promise 1: the model and the input are untouched, also when the model throws") {
  for_each_attributor([](const Listed& listed) {
    // 0: it does not throw; 1: in the first pass; 2 and 3: in a later one, if there are so many.
    for (const int throws_at : {0, 1, 2, 3}) {
      for (const bool leaf : {false, true}) {
        Network network;
        network.throws_at = throws_at;
        at::Tensor input = batch();
        if (leaf) {
          input.requires_grad_(true);
          input.mutable_grad() = input.detach().mul(2.0);
        }
        std::vector<Snapshot> snapshots{Snapshot(input)};
        for (const at::Tensor& weight : network.weights->all) snapshots.emplace_back(weight);
        bool thrown = false;
        try {
          listed.make(network.model(), 2)(input);
        } catch (const std::domain_error&) {
          thrown = true;
        }
        CHECK(thrown == (throws_at > 0 && network.calls->load() >= throws_at));
        if (throws_at == 1) CHECK(thrown);
        for (const Snapshot& snapshot : snapshots) CHECK(snapshot.untouched());
        CHECK(c10::GradMode::is_enabled());
        CHECK_FALSE(c10::InferenceMode::is_enabled());
        CHECK(autocast_is_excluded());
      }
    }
  });
}

TEST_CASE("promise 2: in inference mode, under no_grad and in autocast the same bits, and the mode stays") {
  for_each_attributor([](const Listed& listed) {
    const Network network;
    const AnyAttributor method = listed.make(network.model(), 2);
    const at::Tensor input = batch();
    const Attribution expected = method(input);
    {
      const c10::InferenceMode inference;
      CHECK(equal(method(input), expected));
      const at::Tensor own = batch();
      REQUIRE(own.is_inference());
      const Attribution a = method(own);
      CHECK(equal(a, expected));
      for (const at::Tensor& tensor : all_of(a)) CHECK_FALSE(tensor.is_inference());
      CHECK(same(method.predict(own).score, expected.score));
      CHECK(c10::InferenceMode::is_enabled());
    }
    {
      const c10::NoGradGuard no_grad;
      CHECK(equal(method(input), expected));
      CHECK_FALSE(c10::GradMode::is_enabled());
    }
    {
      const Autocast autocast;
      CHECK(equal(method(input), expected));
      CHECK_FALSE(autocast_is_excluded());
    }
  });
}

TEST_CASE("promise 2: float32 stays float32 in the caller's autocast") {
  for_each_attributor([](const Listed& listed) {
    const Network network(at::kFloat);
    const AnyAttributor method = listed.make(network.model(), 2);
    const at::Tensor input = batch(at::kFloat);
    const Attribution expected = method(input);
    const Autocast autocast;
    const at::Tensor narrow = normal({2, 2}, at::kFloat).matmul(normal({2, 2}, at::kFloat));
    REQUIRE((narrow.scalar_type() == at::kBFloat16));  // or this test would show nothing
    CHECK(equal(method(input), expected));
    CHECK((method.predict(input).logits.scalar_type() == at::kFloat));
  });
}

TEST_CASE("promise 3: a batch gives what its samples give one by one, and a chunk what any other gives") {
  for_each_attributor([](const Listed& listed) {
    const Network network;
    const at::Tensor input = batch();
    const Attribution whole = listed.make(network.model(), 0)(input);
    for (const std::int64_t n : {1, 2}) {  // or a row explained for another's class would not be seen
      REQUIRE(whole.target[n].item<std::int64_t>() != whole.target[0].item<std::int64_t>());
    }
    REQUIRE(whole.target[1].item<std::int64_t>() != whole.target[2].item<std::int64_t>());
    const auto close = [](const Attribution& a, const Attribution& b) {
      const std::vector<at::Tensor> left = all_of(a), right = all_of(b);
      REQUIRE(left.size() == right.size());
      for (std::size_t i = 0; i < left.size(); ++i) {
        REQUIRE(left[i].sizes() == right[i].sizes());
        CHECK(distance(left[i].to(at::kDouble).nan_to_num(-7.0), right[i].to(at::kDouble).nan_to_num(-7.0)) <
              1e-10);
      }
    };
    for (std::int64_t n = 0; n < input.size(0); ++n) {
      close(whole.sample(n), listed.make(network.model(), 0)(input.slice(0, n, n + 1)));
    }
    for (const std::int64_t chunk : {1, 2, 5}) close(whole, listed.make(network.model(), chunk)(input));
  });
}

TEST_CASE("promise 4: two threads on one attributor, the same bits") {
  for_each_attributor([](const Listed& listed) {
    const Network network;
    const AnyAttributor method = listed.make(network.model(), 2);
    const at::Tensor input = batch();
    const Attribution expected = method(input);
    std::atomic<int> right = 0;
    {
      std::vector<std::jthread> threads;
      for (int t = 0; t < 2; ++t) {
        threads.emplace_back([&] {
          for (int i = 0; i < 4; ++i) right += equal(method(input), expected) ? 1 : 0;
        });
      }
    }
    CHECK(right == 8);
  });
}

TEST_CASE("promise 5: values in the input's dtype and on its device, and nothing requires a gradient") {
  for_each_attributor([](const Listed& listed) {
    for (const at::ScalarType dtype : {at::kFloat, at::kDouble, at::kBFloat16}) {
      const Network network(dtype);
      const at::Tensor input = batch(dtype).requires_grad_(true);
      const Attribution a = listed.make(network.model(), 0)(input);
      CHECK((a.values.scalar_type() == dtype));
      CHECK((a.values.device() == input.device()));
      CHECK((a.score.scalar_type() == dtype));
      CHECK((a.logits.scalar_type() == dtype));
      CHECK(a.values.size(0) == input.size(0));
      CHECK(a.values.isfinite().all().item<bool>());
      for (const at::Tensor& tensor : all_of(a)) {
        CHECK_FALSE(tensor.requires_grad());
        CHECK_FALSE(tensor.is_inference());
      }
    }
  });
}

TEST_CASE("promise 5: the target is chosen once, on the clean input") {
  for_each_attributor([](const Listed& listed) {
    const Network network;
    const AnyAttributor method = listed.make(network.model(), 2);
    const at::Tensor input = batch();
    const Counting counting;
    const Attribution a = method(input, counting);
    CHECK(counting.asked->load() == 1);
    const at::Tensor clean = network.model()(input.clone()).detach();
    CHECK(same(a.target, clean.argmax(1)));
    CHECK(same(a.logits, clean));
    // The same as for the classes themselves.
    const std::vector<std::int64_t> classes(a.target.data_ptr<std::int64_t>(),
                                            a.target.data_ptr<std::int64_t>() + a.target.numel());
    CHECK(equal(a, method(input, PerSample{classes})));
    CHECK(same(method.predict(input, counting).target, a.target));
  });
}
