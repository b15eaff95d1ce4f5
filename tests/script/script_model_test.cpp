#include <salience/model/script_model.hpp>

#include <ATen/Parallel.h>
#include <doctest/doctest.h>
#include <torch/version.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include <salience/method/gradient_attributor.hpp>

#include "../grouping_locale.hpp"
#include "../support.hpp"
#include "module_state.hpp"

using namespace salience;
using support::contains;
using support::message;
using support::normal;
using support::relative;
using support::same;
using support::state;
using torch::jit::Module;

namespace {

/// A small network with everything the first promise speaks of: parameters with a flag and a `.grad`, a
/// buffer that training mode changes, a dropout, an in-place ReLU, a list attribute, a sub-module used twice.
Module network() {
  const auto module = [](const std::string& name) {
    Module made(name);
    made.register_attribute("training", c10::BoolType::get(), true);
    return made;
  };
  Module norm = module("Norm");
  norm.register_parameter("weight", normal({8}, at::kFloat, 1).requires_grad_(true), false);
  norm.register_parameter("bias", normal({8}, at::kFloat, 2).requires_grad_(true), false);
  norm.register_buffer("mean", normal({8}, at::kFloat, 3).mul(0.1));
  norm.register_buffer("var", normal({8}, at::kFloat, 4).abs().add(0.5));
  norm.define(R"(
    def forward(self, x):
        return torch.batch_norm(x, self.weight, self.bias, self.mean, self.var, self.training, 0.1, 1e-5, False)
  )");
  Module conv = module("Conv");
  conv.register_parameter("weight", (normal({8, 3, 3, 3}, at::kFloat, 5) * 0.2).requires_grad_(true), false);
  conv.define(R"(
    def forward(self, x):
        return torch.conv2d(x, self.weight, None, [1, 1], [1, 1])
  )");
  Module net = module("Net");
  net.register_module("conv", conv);
  net.register_module("norm", norm);
  net.register_parameter("head", normal({8, 4}, at::kFloat, 6).requires_grad_(true), false);
  net.register_attribute("scales", c10::ListType::ofTensors(),
                         c10::List<at::Tensor>({normal({1}, at::kFloat, 7)}));
  net.define(R"(
    def forward(self, x):
        x = torch.relu_(self.norm.forward(self.conv.forward(x)))
        x = torch.dropout(x, 0.5, self.training)
        return torch.matmul(x.mean([2, 3]), self.head) + self.scales[0]
  )");
  net.train();
  return net;
}

Module with_forward(const std::string& body, const std::string& arguments = "self, x") {
  Module module("M");
  module.register_parameter("w", normal({4, 3}, at::kFloat, 8).requires_grad_(true), false);
  module.define("def forward(" + arguments + "):\n" + body + "\n");
  return module;
}

struct TemporaryFile {
  explicit TemporaryFile(const std::string& name) : path(std::filesystem::temp_directory_path() / name) {}
  ~TemporaryFile() { std::filesystem::remove(path); }
  std::filesystem::path path;
};

const at::Tensor input = normal({2, 3, 6, 6}, at::kFloat, 9);

}  // namespace

TEST_CASE("it gives the logits and gradients of the module's own evaluation mode, bit for bit") {
  const Module module = network();
  Module evaluated = module.deepcopy();
  evaluated.eval();
  const at::Tensor leaf = input.clone().requires_grad_(true);
  const at::Tensor logits = evaluated.forward({leaf}).toTensor();
  logits.gather(1, logits.argmax(1, true)).sum().backward();

  const ScriptModel model(module);
  CHECK(same(model(input).detach(), logits.detach()));
  const Attribution a = GradientAttributor(model)(input);
  CHECK(same(a.values, leaf.grad()));
  for (int call = 0; call < 4; ++call) CHECK(same(GradientAttributor(model)(input).values, a.values));
}

TEST_CASE("promise 1: module, parameters, grads, flags, buffers and graph are bit-identical afterwards") {
  Module module = network();
  for (at::Tensor parameter : module.parameters()) parameter.mutable_grad() = parameter.detach() * 3;
  module.attr("head").toTensor().set_requires_grad(false);
  const std::string before = state(module);
  {
    const GradientAttributor vanilla(ScriptModel{module});
    for (int i = 0; i < 3; ++i) vanilla(input);
    const GradientAttributor fast(ScriptModel(module, {.prepare = Prepare::fast}));
    for (int i = 0; i < 3; ++i) fast(input);
    const GradientAttributor wide(ScriptModel(module, {.dtype = at::kDouble}));
    wide(input);
    CHECK_THROWS_AS(vanilla(input.slice(1, 0, 2)), ModelError);
    CHECK_THROWS_AS(vanilla(input, ClassIndex{9}), TargetError);
  }
  CHECK(state(module) == before);
  CHECK(module.is_training());
}

TEST_CASE("a model is a snapshot: what a training step does to the module does not reach it") {
  for (const Prepare prepare : {Prepare::none, Prepare::fast}) {
    Module module = network();
    const ScriptModel model(module, {.prepare = prepare});
    const Attribution before = GradientAttributor(model)(input);
    {
      const c10::NoGradGuard no_grad;
      for (at::Tensor tensor : module.parameters()) tensor.mul_(2.0);
      for (at::Tensor tensor : module.buffers()) tensor.add_(1.0);
      module.attr("scales").toTensorVector()[0].fill_(100.0);
    }
    const Attribution after = GradientAttributor(model)(input);
    CHECK(same(after.logits, before.logits));
    CHECK(same(after.values, before.values));
    CHECK_FALSE(same(ScriptModel(module)(input).detach(), before.logits));
  }
}

TEST_CASE("tensors that share memory in the module do so in the snapshot, and not with the module's") {
  Module module("Shared");
  module.register_buffer("all", normal({8}, at::kFloat, 31));
  module.register_buffer("part", module.attr("all").toTensor().slice(0, 2, 5));
  module.register_buffer("same", module.attr("all").toTensor());
  module.define(R"(
    def forward(self, x):
        self.part.mul_(2.0)
        return x.mean([2, 3]).sum(1, True) * (self.all + self.same)
  )");
  const at::Tensor all = module.attr("all").toTensor().clone();
  at::Tensor written = all.clone();
  written.slice(0, 2, 5).mul_(2.0);
  const at::Tensor truth = input.mean({2, 3}).sum(1, true) * (written + written);
  const ScriptModel model(module);
  for (int call = 0; call < 3; ++call) CHECK(same(model(input), truth));
  CHECK(same(module.attr("all").toTensor(), all));
}

TEST_CASE(
    "each call starts from the snapshot, whatever the model writes to itself, on any number of threads") {
  Module counter("Counter");
  counter.register_parameter("count", torch::zeros({1}), false);  // asks for no gradient, as people do
  counter.register_buffer("average", torch::ones({3}));
  counter.register_attribute("calls", c10::IntType::get(), 0);
  counter.register_buffer("held", torch::ones({1}));
  counter.register_attribute("seen", c10::ListType::ofTensors(), c10::List<at::Tensor>());
  counter.define(R"(
    def forward(self, x):
        self.count.add_(1.0)
        self.average.mul_(0.9).add_(x.detach().mean([0, 2, 3]) * 0.1)
        self.calls += 1
        self.seen.append(x)
        held: List[Tensor] = []
        held.extend([self.held])
        held[0].add_(1.0)
        return (x * x).mean([2, 3]) * self.held * self.average * self.count * float(self.calls) * float(len(self.seen))
  )");
  Module module("Net");
  module.register_module("counter", counter);
  module.define("def forward(self, x):\n  return self.counter.forward(x)\n");
  Module eager = module.deepcopy();
  const at::Tensor leaf = input.clone().requires_grad_(true);
  std::get<0>(eager.forward({leaf}).toTensor().max(1)).sum().backward();
  for (const Prepare prepare : {Prepare::none, Prepare::fast}) {
    const GradientAttributor vanilla(ScriptModel(module, {.prepare = prepare}));
    for (int call = 0; call < 3; ++call) CHECK(same(vanilla(input).values, leaf.grad()));
    CHECK(support::same_from_threads(vanilla, input, 25) == 100);
  }
  CHECK(module.attr("counter").toModule().attr("count").toTensor().item<float>() == 0.0F);
  CHECK(module.attr("counter").toModule().attr("calls").toInt() == 0);
}

namespace {
/// As at::autocast does it, in every version.
struct Autocast {
  Autocast() { c10::impl::tls_set_dispatch_key_excluded(c10::DispatchKey::AutocastCPU, false); }
  ~Autocast() { c10::impl::tls_set_dispatch_key_excluded(c10::DispatchKey::AutocastCPU, true); }
};
}  // namespace

TEST_CASE("the caller's autocast does not reach a model, its own does") {
  const Module module = network();
  const Attribution truth = GradientAttributor(ScriptModel(module))(input);
  const ScriptModel model(module);
  const Autocast autocast;
  const at::Tensor narrow = torch::matmul(torch::ones({2, 2}), torch::ones({2, 2}));
  CHECK((narrow.scalar_type() == at::kBFloat16));  // or this test would show nothing
  CHECK(same(model(input).detach(), truth.logits));
  CHECK(same(GradientAttributor(model)(input).values, truth.values));
  CHECK(same(GradientAttributor(ScriptModel(module))(input).values, truth.values));
  const auto lambda = [](const at::Tensor& x) { return torch::matmul(x.mean({2, 3}), torch::ones({3, 4})); };
  CHECK((GradientAttributor(lambda)(input).logits.scalar_type() == at::kFloat));
}

TEST_CASE("a model that writes into its input, its buffers or its attributes leaves the caller's alone") {
  Module module("Writer");
  module.register_buffer("count", torch::zeros({1}));
  module.register_attribute("plain", c10::TensorType::get(), torch::zeros({1}));
  module.register_attribute("seen", c10::ListType::ofTensors(), c10::List<at::Tensor>());
  module.define(R"(
    def forward(self, x):
        x.mul_(2.0)
        self.count.add_(1.0)
        self.plain.add_(1.0)
        self.seen.append(self.count)
        return (x * x).sum([2, 3])
  )");
  const at::Tensor x = input.clone();
  const ScriptModel placed(module, {.device = at::Device(at::kCPU), .dtype = at::kFloat});
  (void)GradientAttributor(placed)(x);
  const Attribution a = GradientAttributor(ScriptModel{module})(x);
  CHECK(same(x, input));
  CHECK(module.attr("count").toTensor().item<float>() == 0.0F);
  CHECK(module.attr("plain").toTensor().item<float>() == 0.0F);
  CHECK(module.attr("seen").toTensorList().empty());
  CHECK(support::distance(a.values.select(0, 0).select(0, a.target[0].item<std::int64_t>()),
                          input.select(0, 0).select(0, a.target[0].item<std::int64_t>()) * 8) < 1e-5);
}

TEST_CASE(
    "Prepare::fast gives the same up to rounding, channels-last input or not, traced-style or scripted") {
  const Module module = network();
  const ScriptModel exact(module, {.dtype = at::kDouble});
  const Attribution truth = GradientAttributor(exact)(input);
  const ScriptModel fast(module, {.dtype = at::kDouble, .prepare = Prepare::fast});
  const Attribution folded = GradientAttributor(fast)(input);
  CHECK(support::distance(folded.logits, truth.logits) < 1e-12);
  CHECK(relative(folded.values, truth.values) < 1e-6);  // the input is float32, so is the gradient
  CHECK(relative(GradientAttributor(ScriptModel(module, {.prepare = Prepare::fast}))(input).values,
                 truth.values) < 5e-2);
  CHECK(
      same(GradientAttributor(fast)(input.contiguous(at::MemoryFormat::ChannelsLast)).values, folded.values));
}

TEST_CASE("a module that assigns to its attributes runs with Prepare::fast") {
  Module module("Assigns");
  module.register_attribute("last", c10::TensorType::get(), torch::zeros({1}));
  module.define(R"(
    def forward(self, x):
        self.last = x.sum()
        return (x * x).sum([2, 3]) + self.last * 0.0
  )");
  const Attribution a = GradientAttributor(ScriptModel(module, {.prepare = Prepare::fast}))(input);
  CHECK(a.values.sizes() == input.sizes());
  CHECK(module.attr("last").toTensor().item<float>() == 0.0F);
}

TEST_CASE("dtype and device options convert the view; the gradient comes back as the input was") {
  const Module module = network();
  const ScriptModel wide(module, {.device = at::Device(at::kCPU), .dtype = at::kDouble});
  const Attribution a = GradientAttributor(wide)(input);
  CHECK((a.logits.scalar_type() == at::kDouble));
  CHECK((a.values.scalar_type() == at::kFloat));
  CHECK((GradientAttributor(wide)(input.to(at::kDouble)).values.scalar_type() == at::kDouble));
  CHECK((module.attr("head").toTensor().scalar_type() == at::kFloat));
  CHECK(contains(message<ArgumentError>([&] { ScriptModel(module, {.dtype = at::kLong}); }), "dtype"));
}

TEST_CASE("bfloat16 comes near float32") {
  const Module module = network();
  const Attribution exact = GradientAttributor(ScriptModel(module))(input, ClassIndex{1});
  const ScriptModel narrow(module, {.dtype = at::kBFloat16});
  const Attribution a = GradientAttributor(narrow)(input.to(at::kBFloat16), ClassIndex{1});
  CHECK((a.values.scalar_type() == at::kBFloat16));
  CHECK(relative(a.values, exact.values) < 0.3);
}

TEST_CASE("the gradient on a CUDA device is that of the CPU" * doctest::skip(!at::hasCUDA())) {
  const Module module = network();
  const ScriptModel cpu(module, {.dtype = at::kDouble});
  const ScriptModel gpu(module, {.device = at::Device(at::kCUDA), .dtype = at::kDouble});
  const at::Tensor x = input.to(at::kDouble);
  CHECK(GradientAttributor(gpu)(x.cuda()).values.is_cuda());
  CHECK(relative(GradientAttributor(gpu)(x.cuda()).values.cpu(), GradientAttributor(cpu)(x).values) < 1e-8);
}

TEST_CASE("a model wrapped in inference mode, or of inference tensors, gives gradients outside") {
  const at::Tensor expected = GradientAttributor(ScriptModel{network()})(input).values;
  std::optional<ScriptModel> wrapped, of_inference_tensors;
  const Module module = network();
  {
    const c10::InferenceMode mode;
    wrapped.emplace(module);
    of_inference_tensors.emplace(network());
  }
  CHECK(same(GradientAttributor(*wrapped)(input).values, expected));
  CHECK(same(GradientAttributor(*of_inference_tensors)(input).values, expected));
}

TEST_CASE("no gradient of a weight is asked for") {
  Module module = network();
  int asked = 0;
  module.attr("head").toTensor().register_hook([&asked](const at::Tensor&) { ++asked; });
  (void)GradientAttributor(ScriptModel{module})(input);
  CHECK(asked == 0);
}

TEST_CASE(
    "a sub-module behind an interface is inlined too: every operator shows in the autograd graph, at every "
    "call") {
  const Module module = torch::jit::load(std::string(SALIENCE_TEST_DATA_DIR) + "/script/interface.pt");
  const ScriptModel model(module);
  for (int call = 0; call < 4; ++call) {
    const at::Tensor leaf = input.clone().requires_grad_(true);
    const at::Tensor output = model(leaf).sum();
    output.backward({}, /*retain_graph=*/true);
    std::vector<std::string> names;
    for (auto node = output.grad_fn(); node && !node->next_edges().empty();
         node = node->next_edge(0).function) {
      names.push_back(node->name());
    }
    CHECK(std::count(names.begin(), names.end(), "ReluBackward0") == 1);
  }
}

TEST_CASE("works under no_grad and in inference mode") {
  const GradientAttributor vanilla(ScriptModel{network()});
  const at::Tensor expected = vanilla(input).values;
  const c10::InferenceMode mode;
  CHECK(same(vanilla(input).values, expected));
  CHECK(same(vanilla(input.clone()).values, expected));
}

TEST_CASE("promise 2: eight threads on one model get the bits of one") {
  const int threads_before = at::get_num_threads();
  at::set_num_threads(1);
  const GradientAttributor vanilla(ScriptModel{network()});
  const at::Tensor expected = vanilla(input).values;
  std::atomic<int> right = 0;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 8; ++t) {
      threads.emplace_back([&] {
        at::set_num_threads(1);
        for (int i = 0; i < 25; ++i) right += same(vanilla(input).values, expected) ? 1 : 0;
      });
    }
  }
  at::set_num_threads(threads_before);
  CHECK(right == 200);
}

TEST_CASE("promise 4: memory stays flat over a thousand runs") {
  const GradientAttributor vanilla(ScriptModel{network()});
  for (int i = 0; i < 100; ++i) vanilla(input);
  const double before = support::resident_memory();
  for (int i = 0; i < 1000; ++i) vanilla(input);
  CHECK(support::resident_memory() - before <= 2048);
}

TEST_CASE("promise 3: a batch gives what its samples give one by one") {
  const GradientAttributor vanilla(ScriptModel(network(), {.dtype = at::kDouble}));
  const at::Tensor x = normal({5, 3, 6, 6});
  const Attribution batch = vanilla(x);
  for (std::int64_t n = 0; n < 5; ++n) {
    const Attribution one = vanilla(x.slice(0, n, n + 1));
    CHECK(same(one.target, batch.target.slice(0, n, n + 1)));
    CHECK(relative(batch.values.slice(0, n, n + 1), one.values) < 1e-8);
  }
}

TEST_CASE("a training forward elsewhere and a warmed-up module change nothing") {
  Module module = network();
  const at::Tensor expected = GradientAttributor(ScriptModel{module})(input).values;
  Module warm = module.deepcopy();
  warm.eval();
  for (int i = 0; i < 4; ++i) {
    const at::Tensor leaf = input.clone().requires_grad_(true);
    warm.forward({leaf}).toTensor().sum().backward();
  }
  CHECK(same(GradientAttributor(ScriptModel{warm})(input).values, expected));
}

TEST_CASE("an entry of a tuple, list or dict is chosen by the option output") {
  const Module dict = with_forward("    return {'aux': x.sum([2, 3]), 'out': (x * x).sum([2, 3])}");
  const at::Tensor expected = (input * input).sum({2, 3});
  CHECK(same(ScriptModel(dict, {.output = "out"})(input), expected));
  CHECK(contains(message<ModelError>([&] { ScriptModel{dict}(input); }), "'aux' (2, 3), 'out' (2, 3)"));
  CHECK(contains(message<ModelError>([&] { ScriptModel(dict, {.output = "no"})(input); }),
                 "there is no entry 'no'"));
  const Module tuple = with_forward("    return x.sum([2, 3]), (x * x).sum([2, 3])");
  CHECK(same(ScriptModel(tuple, {.output = "1"})(input), expected));
  CHECK(contains(message<ModelError>([&] { ScriptModel{tuple}(input); }), "'0' (2, 3), '1' (2, 3)"));
  const Module nested = with_forward(
      "    y = (x * x).sum([2, 3])\n    return {'out': (y, [y * 2, y * 3]), 'aux': (y * 4, [y])}");
  CHECK(same(ScriptModel(nested, {.output = "out.1.0"})(input), expected * 2));
  CHECK(same(ScriptModel(nested, {.output = "aux.0"})(input), expected * 4));
  CHECK(
      contains(message<ModelError>([&] { ScriptModel(nested, {.output = "out.1.2"})(input); }),
               "there is no entry 'out.1.2': the model returns the tensors 'out.0' (2, 3), 'out.1.0' (2, 3), "
               "'out.1.1' (2, 3), 'aux.0' (2, 3), 'aux.1.0' (2, 3)"));
  const Module sole = with_forward("    return {'out': (x * x).sum([2, 3])}");
  CHECK(same(ScriptModel{sole}(input), expected));
  const Module empty = with_forward("    return 1, 2");
  CHECK(contains(message<ModelError>([&] { ScriptModel{empty}(input); }), "holds no tensor"));
  const Module list = with_forward("    return [(x * x).sum([2, 3])]");
  CHECK(same(ScriptModel{list}(input), expected));
  const Module number = with_forward("    return 3");
  CHECK(contains(message<ModelError>([&] { ScriptModel{number}(input); }), "returns a Int"));
  const Module one = with_forward("    return x.mean([1])");
  CHECK(contains(message<ModelError>([&] { ScriptModel(one, {.output = "out"})(input); }),
                 "returns one tensor, which has no entry 'out'"));
}

TEST_CASE("an entry of a dict with numbers for keys has plain digits in every locale") {
  const Module dict = with_forward("    return {1000: x.sum([2, 3]), 20: (x * x).sum([2, 3])}");
  const support::GroupingLocale grouping;
  CHECK(same(ScriptModel(dict, {.output = "1000"})(input), input.sum({2, 3})));
  CHECK(contains(message<ModelError>([&] { ScriptModel{dict}(input); }), "'1000' (2, 3), '20' (2, 3)"));
}

TEST_CASE("a model whose output has no gradient is refused") {
  const auto refused = [](const std::string& body) {
    return message<ModelError>([&] { GradientAttributor(ScriptModel{with_forward(body)})(input); });
  };
  CHECK(contains(refused("    return x.detach().sum([2, 3])"), "no gradient"));
  CHECK(contains(refused("    return x.argmax(1).sum([1, 2])"), "no gradient"));
  CHECK(contains(refused("    return torch.matmul(torch.ones([2, 4]), self.w)"),
                 "does not depend on the input"));
}

TEST_CASE("a model that fails says so in one line, and nests the cause") {
  const ScriptModel model(network());
  const std::string text = message<ModelError>([&] { (void)model(input.slice(1, 0, 2)); });
  CHECK(contains(text, "the model fails on an input of shape (2, 2, 6, 6) and type Float: "));
  CHECK(contains(text, "to have 3 channels, but got 2 channels"));
  CHECK_FALSE(contains(text, "\n"));
  CHECK(contains(message<ModelError>([&] { (void)model(input[0].select(0, 0)); }), "fails on"));
  CHECK(contains(message<ModelError>([&] { (void)model(input[0].slice(0, 0, 2)); }),
                 "is the batch dimension missing?"));
  CHECK(contains(message<ModelError>([&] { (void)model(input.to(at::kDouble)); }),
                 "the model is of type Float: convert"));
  if (!at::hasCUDA()) {
    const auto on_cuda = [] { ScriptModel(network(), {.device = at::Device(at::kCUDA)}); };
    CHECK(contains(message<ModelError>(on_cuda), "cannot be moved as the options say"));
  }
  const ScriptModel raising(with_forward("    assert x.sum() == 0.5, 'my words'\n    return x"));
  CHECK(contains(message<ModelError>([&] { (void)raising(input); }), "my words"));
  try {
    (void)raising(input);
  } catch (const ModelError& error) {
    CHECK_THROWS(std::rethrow_if_nested(error));
  }
}

TEST_CASE("a forward that does not take one tensor is refused when it is wrapped") {
  const auto refused = [](const Module& module) { return message<ModelError>([&] { ScriptModel{module}; }); };
  CHECK(contains(refused(with_forward("    return x + mask", "self, x, mask")), "takes 2 inputs (x, mask)"));
  CHECK(refused(with_forward("    return x * s", "self, x, s: float = 2.0")) == "nothing thrown");
  Module none("Bare");
  none.register_parameter("w", torch::ones({1}), false);
  CHECK(contains(refused(none), "no method 'forward'"));
  CHECK(contains(refused(with_forward("    return 1", "self")), "takes no input"));
  CHECK(refused(with_forward("    return 1", "self, x: Optional[Tensor] = None")) == "nothing thrown");
  const TemporaryFile file("salience_no_forward.pt");  // as torch::save writes a torch::nn module
  none.save(file.path.string());
  const std::string text = message<FileError>([&] { ScriptModel::load(file.path); });
  CHECK(contains(text, file.path.string() + ": the module has no method 'forward'"));
  CHECK(contains(text, "torch.jit.trace"));
}

TEST_CASE("load reads what save wrote, also from a path with spaces and umlauts") {
  const TemporaryFile file("salience mödel.pt");
  const Module module = network();
  module.save(file.path.string());
  CHECK(same(GradientAttributor(ScriptModel::load(file.path))(input).values,
             GradientAttributor(ScriptModel{module})(input).values));
}

TEST_CASE("a file that is not TorchScript is refused with a sentence") {
  const TemporaryFile file("salience_not_a_model.pt");
  const auto refused = [&file](const std::string& bytes) {
    std::ofstream(file.path, std::ios::binary) << bytes;
    return message<FileError>([&] { ScriptModel::load(file.path); });
  };
  CHECK(contains(message<FileError>([] { ScriptModel::load("/no/such.pt"); }),
                 "/no/such.pt: there is no such file"));
  CHECK(contains(message<FileError>([] { ScriptModel::load(std::filesystem::temp_directory_path()); }),
                 "is a directory, not a file"));
  CHECK(contains(refused(""), "neither a torch.export program nor TorchScript"));
  CHECK(contains(refused("hello"), "torch.jit.trace"));
  CHECK(contains(refused("\x80\x02}q"), "Python pickle (a state dict?)"));
  CHECK(contains(refused("PK\x03\x04 and no more"), "damaged zip archive"));

  network().save(file.path.string());
  std::ifstream whole(file.path, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(whole), {}};
  CHECK(contains(refused(bytes.substr(0, bytes.size() / 2)), "damaged zip archive"));

  // what torch.save writes for a state dict: an archive with data.pkl alone
  {
    caffe2::serialize::PyTorchStreamWriter archive(file.path.string());
    archive.writeRecord("data.pkl", "\x80\x02}q.", 5);
    archive.writeEndOfFile();
  }
  const std::string dictionary = message<FileError>([&] { ScriptModel::load(file.path); });
  CHECK(contains(dictionary, "state dict"));
  CHECK(contains(dictionary, "torch.jit.trace"));
}

TEST_CASE("the shipped real network, if it is beside the project" *
          doctest::skip(std::string(SALIENCE_SHARED_DATA_DIR).empty())) {
  const auto path = std::filesystem::path(SALIENCE_SHARED_DATA_DIR) / "models" / "mobilenet_v2.pt";
  const at::Tensor x = normal({1, 3, 224, 224}, at::kFloat, 10);
  const Attribution truth =
      GradientAttributor(ScriptModel::load(path, {.dtype = at::kDouble}))(x.to(at::kDouble));
  CHECK(relative(GradientAttributor(ScriptModel::load(path))(x).values, truth.values) < 5e-2);
  const ScriptModel fast = ScriptModel::load(path, {.dtype = at::kDouble, .prepare = Prepare::fast});
  CHECK(relative(GradientAttributor(fast)(x.to(at::kDouble)).values, truth.values) < 1e-8);
}

TEST_CASE("a backward operator that LibTorch lacks is a clear error") {
  const GradientAttributor vanilla(
      ScriptModel{with_forward("    return torch.hardtanh(x, 0.0, 6.0).sum([2, 3])")});
  const std::string text = message<ModelError>([&] { vanilla(input.to(at::kBFloat16)); });
  if (TORCH_VERSION_MAJOR < 2) {
    CHECK(contains(text, "backward pass fails for an input of type BFloat16: "));
    CHECK(contains(text, "not implemented for 'BFloat16'"));
  } else {
    CHECK(text == "nothing thrown");
  }
}
