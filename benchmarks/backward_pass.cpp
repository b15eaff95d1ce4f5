// What does a vanilla gradient cost, next to the forward pass it contains and to `.backward()` into all
// weights?
//
//   backward_pass MODEL.pt [SIZE] [--benchmark options]
//
// The last is what tutorials do: `.backward()` on the predicted logit of the module's own forward, into the
// input and every weight. All of them are run interleaved in one process, so that only ratios within one run
// are compared.

#include <salience/method/gradient_attributor.hpp>

#include "common.hpp"

namespace sal = salience;

namespace {

auto forward(const sal::ScriptModel& model, const at::Tensor& input) {
  return [=] {
    const c10::NoGradGuard no_grad;
    return model(input);
  };
}

auto gradient(const sal::ScriptModel& model, const at::Tensor& input) {
  return [vanilla = sal::GradientAttributor(model), input] { return vanilla(input); };
}

/// The module's own forward, through LibTorch's profiling executor.
auto module_gradient(torch::jit::Module module, const at::Tensor& input, bool into_weights) {
  return [=]() mutable {
    const at::Tensor leaf = input.detach().clone().requires_grad_(true);
    const at::Tensor score = std::get<0>(module.forward({leaf}).toTensor().max(1)).sum();
    if (into_weights) {
      score.backward();
      for (const at::Tensor& parameter : module.parameters()) parameter.mutable_grad().reset();
    } else {
      score.backward({}, false, false, at::TensorList(&leaf, 1));
    }
    return leaf.grad();
  };
}

}  // namespace

int main(int argc, char** argv) {
  return bench::answer(argc, argv, "backward_pass MODEL.pt [SIZE]", 1, [](int count, char** arguments) {
    const at::Tensor input = bench::noise(1, count > 1 ? std::stoll(arguments[1]) : 224);
    torch::jit::Module module = torch::jit::load(arguments[0]);
    module.eval();
    const sal::ScriptModel model(module), fast(module, {.prepare = sal::Prepare::fast}),
        bfloat16(module, {.dtype = at::kBFloat16, .prepare = sal::Prepare::fast});
    bench::row("forward", forward(model, input));
    bench::row("forward, fast", forward(fast, input));
    bench::row("input gradient", gradient(model, input));
    bench::row("input gradient, fast", gradient(fast, input));
    bench::row("input gradient, fast, bfloat16", gradient(bfloat16, input));
    bench::row("input gradient by module.forward", module_gradient(module, input, false));
    bench::row("backward into all weights", module_gradient(module, input, true));
  });
}
