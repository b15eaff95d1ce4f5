// Programs of torch.export, built by hand: each is what its operators say.
#include <salience/model/load_model.hpp>

#include <torch/csrc/autograd/autograd.h>
#include <torch/version.h>

#include <salience/method/gradient_attributor.hpp>

#if TORCH_VERSION_MAJOR >= 2
#include "exported_file.hpp"
#else
#include <caffe2/serialize/inline_container.h>
#endif

#include <algorithm>
#include <array>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <doctest/doctest.h>  // after LibTorch, which has a CHECK of its own

#include "../support.hpp"
#include "../temporary_folder.hpp"
#include "../warnings.hpp"

using namespace salience;
using support::contains;
using support::message;
using support::normal;
using support::same;

#if TORCH_VERSION_MAJOR < 2

TEST_CASE("LibTorch 1.13 says that it cannot run torch.export programs") {
  const TemporaryFolder folder;
  const std::filesystem::path path = folder.path / "model.pt2";
  {
    caffe2::serialize::PyTorchStreamWriter writer(path.string());
    writer.writeRecord("models/model.json", "{}", 2);
    writer.writeEndOfFile();
  }
  const std::string words = message<FileError>([&] { ExportedModel::load(path); });
  CHECK(words.starts_with(path.string()));
  CHECK(contains(words, "is a torch.export program, which LibTorch 1.13"));
  CHECK(contains(words, "build with LibTorch 2"));
}

#else

using support::as_bool;
using support::as_dtype;
using support::as_float;
using support::as_graph;
using support::as_int;
using support::as_ints;
using support::as_size;
using support::as_tensor;
using support::ExportedFile;
using support::Json;
using support::node;
using support::node_with;

namespace {

constexpr std::nullopt_t any = std::nullopt;

/// A file that is there as long as the model is loaded from it.
ExportedModel loaded(const ExportedFile& file, const ModelOptions& options = {}) {
  const TemporaryFolder folder;
  file.write(folder.path / "model.pt2");
  return ExportedModel::load(folder.path / "model.pt2", options);
}

/// A convolution, BatchNorm in core ATen and a mean. The layers have the names of Python.
ExportedFile decomposed(std::optional<std::int64_t> batch = any) {
  const std::string conv = "L__self__,,M;L__self___conv,conv,torch.nn.modules.conv.Conv2d",
                    norm = "L__self__,,M;L__self___norm,norm,torch.nn.modules.batchnorm.BatchNorm2d";
  ExportedFile file({batch, 3, 6, 6});
  file.parameter("conv.weight", normal({4, 3, 3, 3}, at::kFloat, 1))
      .buffer("norm.mean", normal({4}, at::kFloat, 2))
      .buffer("norm.var", normal({4}, at::kFloat, 3).square() + 0.5)
      .call("aten.convolution.default",
            {{"input", as_tensor("x")},
             {"weight", as_tensor("p_conv.weight")},
             {"bias", {{"as_none", true}}},
             {"stride", as_ints({1, 1})},
             {"padding", as_ints({1, 1})},
             {"dilation", as_ints({1, 1})},
             {"transposed", as_bool(false)},
             {"output_padding", as_ints({0, 0})},
             {"groups", as_int(1)}},
            "conv", conv);
  file.nodes.push_back(node("aten._native_batch_norm_legit_no_training.default",
                            {{"input", as_tensor("conv")},
                             {"weight", {{"as_none", true}}},
                             {"bias", {{"as_none", true}}},
                             {"running_mean", as_tensor("b_norm.mean")},
                             {"running_var", as_tensor("b_norm.var")},
                             {"momentum", as_float(0.1)},
                             {"eps", as_float(1e-5)}},
                            {"norm", "saved_mean", "saved_var"}, norm));
  file.call("aten.relu.default", {{"self", as_tensor("norm")}}, "relu",
            "L__self__,,M;L__self___act,act,torch.nn.modules.activation.ReLU")
      .call("aten.mean.dim", {{"self", as_tensor("relu")}, {"dim", as_ints({2, 3})}}, "mean", "L__self__,,M")
      .returns("mean");
  return file;
}

/// The kinds of all operators that run.
std::vector<std::string> kinds(const GraphModel& model) {
  std::vector<std::string> result;
  const auto look = [&result](std::shared_ptr<torch::jit::Graph>& graph, const torch::jit::Module&) {
    result.clear();
    for (const torch::jit::Node* node : salience::detail::nodes_of(*graph)) {
      result.emplace_back(salience::detail::kind_of(node));
    }
  };
  static_cast<void>(model.rewritten({"look", look, PassStage::after_folding}));
  return result;
}

bool has(const std::vector<std::string>& list, const std::string& element) {
  return std::find(list.begin(), list.end(), element) != list.end();
}

at::Tensor gradient(const at::Tensor& output, const at::Tensor& leaf) {
  return torch::autograd::grad({output.sum()}, {leaf})[0];
}

const at::Tensor picture = normal({5, 3, 6, 6}, at::kFloat, 9);

}  // namespace

TEST_CASE(
    "parameters, buffers of both kinds and constants: output and gradient are the program's, bit for bit") {
  const at::Tensor w = normal({4, 3, 3, 3}, at::kFloat, 1), b = normal({4}, at::kFloat, 2),
                   scale = normal({4}, at::kFloat, 3), shift = normal({4}, at::kFloat, 4);
  ExportedFile file({any, 3, any, any});
  file.parameter("conv.weight", w)
      .buffer("deep.in.bias", b)
      .buffer("scale", scale, /*persistent=*/false)
      .constant("lifted_tensor_0", shift)
      .call("aten.conv2d.default",
            {{"input", as_tensor("x")},
             {"weight", as_tensor("p_conv.weight")},
             {"bias", as_tensor("b_deep.in.bias")}},
            "conv2d")
      .call("aten.relu.default", {{"self", as_tensor("conv2d")}}, "relu")
      .call("aten.mean.dim", {{"self", as_tensor("relu")}, {"dim", as_ints({2, 3})}}, "mean")
      .call("aten.mul.Tensor", {{"self", as_tensor("mean")}, {"other", as_tensor("b_scale")}}, "mul")
      .call("aten.add.Tensor", {{"self", as_tensor("mul")}, {"other", as_tensor("c_lifted_tensor_0")}}, "add")
      .call("aten.mul.Tensor", {{"self", as_tensor("add")}, {"other", as_float(0.5)}}, "half")
      .returns("half");
  const at::Tensor leaf = picture.clone().requires_grad_(true);
  const at::Tensor expected = (torch::conv2d(leaf, w, b).relu().mean({2, 3}) * scale + shift) * 0.5;
  const ExportedModel model = loaded(file);
  CHECK(same(model(picture), expected.detach()));
  CHECK(
      same(GradientAttributor(model)(picture, ClassIndex{2}).values, gradient(expected.select(1, 2), leaf)));
  const at::Tensor wide = loaded(file, {.dtype = at::kDouble})(picture);
  CHECK((wide.scalar_type() == at::kDouble));
  CHECK(support::distance(wide, expected) < 1e-5);
}

TEST_CASE("tensors of one record share memory, also when they are converted") {
  const at::Tensor all = normal({8}, at::kFloat, 11);
  ExportedFile file({any, 4});
  file.buffer("a", all.narrow(0, 0, 4))
      .buffer("b", all.narrow(0, 4, 4))
      .buffer("whole", all)
      .call("aten.add_.Tensor", {{"self", as_tensor("b_b")}, {"other", as_int(1)}}, "written")
      .call("aten.slice.Tensor",
            {{"self", as_tensor("b_whole")}, {"dim", as_int(0)}, {"start", as_int(4)}, {"end", as_int(8)}},
            "end")
      .call("aten.mul.Tensor", {{"self", as_tensor("x")}, {"other", as_tensor("end")}}, "mul")
      .call("aten.add.Tensor", {{"self", as_tensor("mul")}, {"other", as_tensor("b_a")}}, "out")
      .returns("out");
  REQUIRE(file.records.count("data/weights/weight_1") == 0);
  for (const at::ScalarType dtype : {at::kFloat, at::kDouble}) {
    const at::Tensor x = normal({2, 4}, dtype, 12), wide = all.to(dtype);
    const ExportedModel model = loaded(file, {.dtype = dtype});
    const at::Tensor expected = x * (wide.narrow(0, 4, 4) + 1) + wide.narrow(0, 0, 4);
    CHECK(same(model(x), expected));
    CHECK(same(model(x), expected));  // what was written is forgotten
  }
}

TEST_CASE("tied weights are one tensor") {
  const at::Tensor weight = normal({4, 4}, at::kFloat, 13);
  ExportedFile file({any, 4});
  file.parameter("a.weight", weight)
      .parameter("b.weight", weight)
      .call("aten.linear.default", {{"input", as_tensor("x")}, {"weight", as_tensor("p_a.weight")}}, "first")
      .call("aten.linear.default", {{"input", as_tensor("first")}, {"weight", as_tensor("p_b.weight")}},
            "second")
      .returns("second");
  CHECK(file.records.count("data/weights/weight_1") == 0);
  std::vector<const void*> places;
  const ExportedModel model = loaded(file, {.dtype = at::kDouble});
  const auto look = [&places](std::shared_ptr<torch::jit::Graph>&, const torch::jit::Module& object) {
    for (const at::Tensor& parameter : object.parameters()) places.push_back(parameter.data_ptr());
  };
  static_cast<void>(model.rewritten({"look", look}));
  REQUIRE(places.size() >= 2);
  CHECK(places[0] == places[1]);
  const at::Tensor x = normal({3, 4}, at::kDouble, 14), w = weight.to(at::kDouble);
  CHECK(same(model(x), torch::linear(torch::linear(x, w), w)));
}

TEST_CASE("a weight may lie in its record as it likes: transposed, behind others, expanded, empty") {
  const at::Tensor all = normal({40}, at::kFloat, 15);
  const at::Tensor transposed = all.as_strided({4, 5}, {1, 4}, 7),
                   expanded = all.as_strided({3, 4}, {0, 2}, 1);
  ExportedFile file({any, 5});
  file.parameter("t", transposed)
      .parameter("e", expanded)
      .parameter("none", all.narrow(0, 3, 0))
      .call("aten.linear.default", {{"input", as_tensor("x")}, {"weight", as_tensor("p_t")}}, "linear")
      .call("aten.matmul.default", {{"self", as_tensor("p_e")}, {"other", as_tensor("p_t")}}, "product")
      .call("aten.linear.default", {{"input", as_tensor("x")}, {"weight", as_tensor("product")}}, "other")
      .call("aten.sum.default", {{"self", as_tensor("p_none")}}, "zero")
      .call("aten.cat.default",
            {{"tensors", {{"as_tensors", {{{"name", "linear"}}, {{"name", "other"}}}}}}, {"dim", as_int(1)}},
            "cat")
      .call("aten.add.Tensor", {{"self", as_tensor("cat")}, {"other", as_tensor("zero")}}, "out")
      .returns("out");
  for (const at::ScalarType dtype : {at::kFloat, at::kDouble}) {
    const at::Tensor x = normal({2, 5}, dtype, 16), t = transposed.to(dtype), e = expanded.to(dtype);
    CHECK(support::distance(loaded(file, {.dtype = dtype})(x),
                            at::cat({torch::linear(x, t), torch::linear(x, e.matmul(t))}, 1)) < 1e-5);
  }
}

TEST_CASE("sizes that vary are computed as Python does") {
  ExportedFile file({any, any});
  file.size("aten.sym_size.int", {{"self", as_tensor("x")}, {"dim", as_int(0)}}, "n")
      .size("torch.ops.aten.sym_size.int", {{"self", as_tensor("x")}, {"dim", as_int(1)}}, "m")
      .size("_operator.floordiv", {{"a", as_size("m")}, {"b", as_int(2)}}, "half")
      .size("_operator.mod", {{"a", as_size("m")}, {"b", as_size("half")}}, "rest")  // 0 for even m
      .size("_operator.neg", {{"a", as_size("rest")}}, "less")
      .size("_operator.add", {{"a", as_size("half")}, {"b", as_size("less")}}, "columns")
      .size("_operator.mul", {{"a", as_int(2)}, {"b", as_size("n")}}, "rows")
      .call("aten.view.default",
            {{"self", as_tensor("x")},
             {"size", {{"as_sym_ints", {{{"as_name", "rows"}}, {{"as_name", "columns"}}}}}}},
            "view")
      .call("aten.relu.default", {{"self", as_tensor("view")}}, "relu")
      .returns("relu");
  const ExportedModel model = loaded(file);
  for (const std::int64_t n : {1, 3}) {
    const at::Tensor x = normal({n, 6}, at::kFloat, 17);
    CHECK(same(model(x), x.view({2 * n, 3}).relu()));
  }
  CHECK(contains(message<ModelError>([&] { model(normal({2, 1}, at::kFloat)); }), "divides a size by 0"));
}

TEST_CASE("a no_grad region gives no gradient, and what follows does again") {
  ExportedFile file({any, 4});
  const auto region = [&](const std::string& name, bool on, const std::string& from, const std::string& to) {
    file.nodes.push_back(node(
        "higher_order." + name,
        {{"", as_bool(on)},
         {"",
          as_graph({as_tensor("y")},
                   {node("aten.mul.Tensor", {{"self", as_tensor("y")}, {"other", as_tensor("y")}}, {"z"})},
                   {as_tensor("z")})},
         {"", as_tensor(from)}},
        {to}));
  };
  region("wrap_with_set_grad_enabled", false, "x", "squared");
  file.call("aten.mul.Tensor", {{"self", as_tensor("x")}, {"other", as_tensor("squared")}}, "out")
      .returns("out");
  const ExportedModel model = loaded(file);
  const at::Tensor x = normal({2, 4}, at::kFloat, 18);
  CHECK(same(model(x), x * (x * x)));
  CHECK(same(GradientAttributor(model)(x, ClassIndex{1}).values.select(1, 1), (x * x).select(1, 1)));
  CHECK(c10::GradMode::is_enabled());
}

TEST_CASE("an autocast region computes in its type") {
  const at::Tensor w = normal({4, 4}, at::kFloat, 19);
  ExportedFile file({any, 4});
  file.parameter("w", w);
  file.nodes.push_back(node(
      "higher_order.wrap_with_autocast",
      {{"", {{"as_string", "cpu"}}},
       {"", as_dtype(13)},
       {"", as_bool(true)},
       {"", {{"as_none", true}}},
       {"",
        as_graph({as_tensor("y"), as_tensor("v")},
                 {node("aten.matmul.default", {{"self", as_tensor("y")}, {"other", as_tensor("v")}}, {"z"})},
                 {as_tensor("z")})},
       {"", as_tensor("x")},
       {"", as_tensor("p_w")}},
      {"product"}));
  file.call("aten.to.dtype", {{"self", as_tensor("product")}, {"dtype", as_dtype(7)}}, "wide")
      .call("aten.matmul.default", {{"self", as_tensor("wide")}, {"other", as_tensor("p_w")}}, "out")
      .returns("out");
  const at::Tensor x = normal({2, 4}, at::kFloat, 20);
  const at::Tensor narrow = x.to(at::kBFloat16).matmul(w.to(at::kBFloat16)).to(at::kFloat);
  CHECK(same(loaded(file)(x), narrow.matmul(w)));
}

TEST_CASE("cond runs the branch that its condition says") {
  ExportedFile file({any, 4});
  file.call("aten.sum.default", {{"self", as_tensor("x")}}, "sum")
      .call("aten.gt.Scalar", {{"self", as_tensor("sum")}, {"other", as_int(0)}}, "positive");
  const auto branch = [](const std::string& target) {
    return as_graph(
        {as_tensor("y")},
        {node(target, {{"self", as_tensor("y")}}, {"z"}, "L__self__,,M;L__self___a,act,torch.nn.Act")},
        {as_tensor("z")});
  };
  file.nodes.push_back(node("higher_order.cond",
                            {{"", as_tensor("positive")},
                             {"", branch("aten.sin.default")},
                             {"", branch("aten.exp.default")},
                             {"", {{"as_tensors", {{{"name", "x"}}}}}}},
                            {"out"}));
  file.returns("out");
  const ExportedModel model = loaded(file);
  const at::Tensor x = at::full({2, 4}, 0.25);
  CHECK(same(model(x), x.sin()));
  CHECK(same(model(-x), (-x).exp()));
  CHECK(same(GradientAttributor(model)(x, ClassIndex{0}).values.select(1, 0), x.cos().select(1, 0)));
}

TEST_CASE("outputs have the names of dicts, tuples and what is in them; buffers that were written are none") {
  ExportedFile file({any, 2});
  const Json leaf = {{"type", nullptr}, {"context", nullptr}, {"children_spec", Json::array()}};
  const Json tuple = {{"type", "builtins.tuple"}, {"context", "null"}, {"children_spec", {leaf, leaf}}};
  file.tree = {{"type", "builtins.dict"}, {"context", R"(["out", "aux"])"}, {"children_spec", {leaf, tuple}}};
  file.buffer("count", at::zeros({1}))
      .call("aten.add.Tensor", {{"self", as_tensor("b_count")}, {"other", as_int(1)}}, "counted")
      .call("aten.copy_.default", {{"self", as_tensor("b_count")}, {"src", as_tensor("counted")}}, "copied")
      .call("aten.mul.Tensor", {{"self", as_tensor("x")}, {"other", as_tensor("counted")}}, "same")
      .call("aten.sin.default", {{"self", as_tensor("same")}}, "sin")
      .call("aten.exp.default", {{"self", as_tensor("same")}}, "exp")
      .mutates("count", "copied")
      .returns("same")
      .returns("sin")
      .returns("exp");
  const at::Tensor x = normal({3, 2}, at::kFloat, 21);
  for (int call = 0; call < 2; ++call) {
    CHECK(same(loaded(file, {.output = "out"})(x), x));
    CHECK(same(loaded(file, {.output = "aux.0"})(x), x.sin()));
    CHECK(same(loaded(file, {.output = "aux.1"})(x), x.exp()));
  }
  const ExportedModel model = loaded(file, {.output = "aux.1"});
  const at::Tensor first = model(x);
  CHECK(same(model(x), first));
  CHECK(contains(message<ModelError>([&] { loaded(file)(x); }),
                 "'out' (3, 2), 'aux.0' (3, 2), 'aux.1' (3, 2); name one by ModelOptions::output (--entry)"));
}

TEST_CASE("types that the program names move with the option dtype, others do not") {
  ExportedFile file({any, 2});
  file.parameter("w", normal({2}, at::kFloat, 22))
      .call("aten.full.default",
            {{"size", as_ints({2})}, {"fill_value", as_float(0.1)}, {"dtype", as_dtype(7)}}, "full")
      .call("aten.mul.Tensor", {{"self", as_tensor("full")}, {"other", as_tensor("p_w")}}, "mul")
      .call("aten.mul.Tensor", {{"self", as_tensor("x")}, {"other", as_tensor("mul")}}, "out")
      .call("aten.full.default", {{"size", as_ints({2})}, {"fill_value", as_int(1)}, {"dtype", as_dtype(5)}},
            "whole")
      .call("aten.add.Tensor", {{"self", as_tensor("out")}, {"other", as_tensor("whole")}}, "sum")
      .returns("sum");
  const at::Tensor x = normal({3, 2}, at::kDouble, 23), w = normal({2}, at::kFloat, 22).to(at::kDouble);
  const at::Tensor wide = loaded(file, {.dtype = at::kDouble})(x);
  CHECK((wide.scalar_type() == at::kDouble));
  CHECK(support::distance(wide, x * (w * 0.1) + 1) < 1e-15);  // 0.1 in float32 is 1e-9 off
  CHECK((loaded(file, {.dtype = at::kBFloat16})(x).scalar_type() == at::kBFloat16));
}

TEST_CASE("a part that the model computes in float32 stays there where its weights have the option's dtype") {
  const at::Tensor x = normal({3, 2}, at::kDouble, 26), w = normal({2}, at::kDouble, 27);
  const at::Tensor shift = normal({2}, at::kFloat, 28);
  ExportedFile file({any, 2});
  file.parameter("w", w)
      .constant("shift", shift)
      .call("aten.mul.Tensor", {{"self", as_tensor("x")}, {"other", as_tensor("p_w")}}, "product")
      .call("aten.to.dtype", {{"self", as_tensor("product")}, {"dtype", as_dtype(7)}}, "narrow")
      .call("aten.maximum.default", {{"self", as_tensor("narrow")}, {"other", as_tensor("c_shift")}}, "most")
      .call("aten.to.dtype", {{"self", as_tensor("most")}, {"dtype", as_dtype(8)}}, "out")
      .returns("out");
  const at::Tensor truth = at::maximum((x * w).to(at::kFloat), shift).to(at::kDouble);
  CHECK(same(loaded(file)(x), truth));
  CHECK(same(loaded(file, {.dtype = at::kDouble})(x), truth));
  const at::Tensor narrow = loaded(file, {.dtype = at::kFloat})(x);  // the type that the program promotes to
  CHECK(support::distance(narrow, truth) < 1e-6);
}

TEST_CASE(
    "a batch of fixed size takes any number of samples: values, gradients and layers are those one by one") {
  for (const std::int64_t batch : {1, 2, 3}) {
    CAPTURE(batch);
    ExportedFile file({batch, 3});
    file.parameter("w", normal({4, 6}, at::kFloat, 24))
        .call("aten.view.default", {{"self", as_tensor("x")}, {"size", as_ints({batch, 3, 1})}}, "view")
        .call("aten.expand.default", {{"self", as_tensor("view")}, {"size", as_ints({batch, 3, 2})}},
              "expand")
        .call("aten.clone.default", {{"self", as_tensor("expand")}}, "clone")
        .call("aten.view.default", {{"self", as_tensor("clone")}, {"size", as_ints({batch, 6})}}, "flat")
        .call("aten.linear.default", {{"input", as_tensor("flat")}, {"weight", as_tensor("p_w")}}, "linear",
              "L__self__,,M;L__self___fc,fc,torch.nn.modules.linear.Linear")
        .call("aten.mul.Tensor", {{"self", as_tensor("linear")}, {"other", as_tensor("linear")}}, "out",
              "L__self__,,M")
        .returns("out");
    const ExportedModel model = loaded(file);
    CHECK((model.input_sizes() == InputSizes{batch, 3}));
    const at::Tensor x = normal({4, 3}, at::kFloat, 25);
    const Attribution all = GradientAttributor(model)(x, ClassIndex{1});
    const std::array<std::string, 1> fc{"fc"};
    const at::Tensor leaf = x.clone().requires_grad_(true);
    const Tapped tapped = model.tapped(leaf, fc);
    const auto parts = static_cast<std::size_t>((4 + batch - 1) / batch);
    REQUIRE(tapped.parts.size() == 1);
    REQUIRE(tapped.parts[0].size() == parts);
    CHECK(tapped.parts[0].back().size(0) == batch);  // filled up
    CHECK(tapped.layers[0].size(0) == 4);
    const auto of_parts =
        torch::autograd::grad({tapped.output.sum()}, tapped.parts[0], {}, /*retain_graph=*/true);
    const at::Tensor of_rows = at::cat(of_parts).narrow(0, 0, 4);
    CHECK(same(of_rows, 2 * tapped.layers[0].detach()));
    for (std::int64_t i = 0; i < 4; ++i) {
      const at::Tensor row = x.narrow(0, i, 1);
      CHECK(support::distance(model(row), model(x).narrow(0, i, 1)) < 1e-6);
      CHECK(support::distance(GradientAttributor(model)(row, ClassIndex{1}).values,
                              all.values.narrow(0, i, 1)) < 1e-6);
    }
    CHECK(model.layers(x).at(0).path == "fc");
    CHECK(contains(message<ModelError>([&] { model(normal({3}, at::kFloat)); }),
                   "is the batch dimension missing?"));
  }
}

TEST_CASE(
    "layers have Python's names and types; of several uses the last is tapped, and nothing is written behind "
    "it") {
  const std::string stack = "L__self__,,M;L__self___block,block,m.Block;";
  const std::string conv = "L__self___block_conv,block.conv,torch.nn.modules.conv.Conv2d",
                    act = "L__self___block_act,block.act,torch.nn.modules.activation.ReLU",
                    again = "L__self___block_act@1,block.act,torch.nn.modules.activation.ReLU";
  const at::Tensor w = normal({3, 3, 1, 1}, at::kFloat, 26);
  ExportedFile file({any, 3, any, any});
  file.parameter("block.conv.weight", w)
      .call("aten.conv2d.default", {{"input", as_tensor("x")}, {"weight", as_tensor("p_block.conv.weight")}},
            "conv", stack + conv)
      .call("aten.relu_.default", {{"self", as_tensor("conv")}}, "first", stack + act)
      .call("aten.sub.Tensor", {{"self", as_tensor("first")}, {"other", as_float(0.5)}}, "sub", stack)
      .call("aten.relu_.default", {{"self", as_tensor("sub")}}, "second", stack + again)
      .call("aten.mul_.Tensor", {{"self", as_tensor("second")}, {"other", as_int(2)}}, "twice",
            "L__self__,,M")
      .call("aten.mean.dim", {{"self", as_tensor("twice")}, {"dim", as_ints({2, 3})}}, "mean", "L__self__,,M")
      .returns("mean");
  const ExportedModel model = loaded(file);
  std::vector<std::string> names;
  for (const Layer& layer : model.layers(picture)) names.push_back(layer.path + " " + layer.type);
  CHECK(names == std::vector<std::string>{"block Block", "block.conv Conv2d", "block.act ReLU"});
  const std::array<std::string, 3> layers{"block.conv", "block.act", "block"};
  const Tapped tapped = model.tapped(picture, layers);
  const at::Tensor convolved = torch::conv2d(picture, w), rectified = (convolved.relu() - 0.5).relu();
  CHECK(same(tapped.layers[0], convolved));
  CHECK(same(tapped.layers[1], rectified));
  CHECK(same(tapped.layers[2], rectified));
  CHECK(same(tapped.output, (rectified * 2).mean({2, 3})));
  CHECK(same(tapped.output, model(picture)));
}

TEST_CASE("what a layer writes into its output after the last operator that gives it belongs to the layer") {
  const std::string stack = "L__self__,,M;L__self___block,block,m.Block;";
  const at::Tensor w = normal({3, 3, 1, 1}, at::kFloat, 28);
  ExportedFile file({any, 3, any, any});
  file.parameter("w", w)
      .call("aten.conv2d.default", {{"input", as_tensor("x")}, {"weight", as_tensor("p_w")}}, "conv",
            stack + "L__self___block_conv,block.conv,torch.nn.modules.conv.Conv2d")
      .call("aten.add_.Tensor", {{"self", as_tensor("conv")}, {"other", as_int(1)}}, "unread", stack)
      .call("aten.mean.dim", {{"self", as_tensor("conv")}, {"dim", as_ints({2, 3})}}, "mean", "L__self__,,M")
      .returns("mean");
  const std::array<std::string, 2> layers{"block.conv", "block"};
  const Tapped tapped = loaded(file).tapped(picture, layers);
  const at::Tensor convolved = torch::conv2d(picture, w);
  CHECK(same(tapped.layers[0], convolved));
  CHECK(same(tapped.layers[1], convolved + 1));
  CHECK(same(tapped.output, (convolved + 1).mean({2, 3})));
}

TEST_CASE("core ATen is put together again, and Prepare::fast folds its BatchNorm") {
  const ExportedModel model = loaded(decomposed()), fast = loaded(decomposed(), {.prepare = Prepare::fast});
  CHECK(has(kinds(model), "aten::_convolution"));
  CHECK(has(kinds(model), "aten::batch_norm"));
  CHECK_FALSE(has(kinds(model), "aten::convolution"));
  CHECK_FALSE(has(kinds(model), "aten::_native_batch_norm_legit_no_training"));
  CHECK(has(kinds(fast), "aten::_convolution"));
  CHECK_FALSE(has(kinds(fast), "aten::batch_norm"));
  const at::Tensor mean = normal({4}, at::kFloat, 2), var = normal({4}, at::kFloat, 3).square() + 0.5;
  const at::Tensor convolved = torch::conv2d(picture, normal({4, 3, 3, 3}, at::kFloat, 1), {}, 1, 1);
  const at::Tensor normalized = torch::batch_norm(convolved, {}, {}, mean, var, false, 0.1, 1e-5, false);
  CHECK(same(model(picture), normalized.relu().mean({2, 3})));
  CHECK(support::distance(fast(picture), model(picture)) < 1e-5);
  const std::array<std::string, 3> layers{"conv", "norm", "act"};
  const Tapped tapped = model.tapped(picture, layers);
  CHECK(same(tapped.layers[0], convolved));
  CHECK(same(tapped.layers[1], normalized));
  CHECK(same(tapped.layers[2], normalized.relu()));
}

TEST_CASE("the file says which inputs the model takes") {
  const TemporaryFolder folder;
  const std::filesystem::path path = folder.path / "model.pt2";
  decomposed().write(path);
  CHECK((load_model(path).input_sizes() == InputSizes{any, 3, 6, 6}));
  CHECK((load_input_sizes(path) == InputSizes{any, 3, 6, 6}));
  CHECK(contains(message<ModelError>([&] {
                   load_model(path)(normal({2, 1, 6, 6}, at::kFloat));
                 }),
                 "exported for inputs of shape (N, 3, 6, 6), not (2, 1, 6, 6)"));
}

TEST_CASE("an input of whole numbers is not given floating ones") {
  ExportedFile file({any, 4});
  file.call("aten.sum.dim_IntList", {{"self", as_tensor("x")}, {"dim", as_ints({1})}}, "sum").returns("sum");
  file.values["x"]["dtype"] = support::dtype_code(at::kLong);
  const ExportedModel model = loaded(file);
  CHECK(same(model(at::ones({2, 4}, at::kLong)), at::full({2}, 4, at::kLong)));
  CHECK(contains(message<ModelError>([&] {
                   model(at::ones({2, 4}));
                 }),
                 "was exported for inputs of type Long, not Float"));
}

TEST_CASE("load_model takes either kind of file, and each loader names the other") {
  const TemporaryFolder folder;
  const std::filesystem::path exported = folder.path / "a.model", script = folder.path / "b.model";
  decomposed().write(exported);
  torch::jit::Module module("M");
  module.define("def forward(self, x):\n  return torch.relu(x).mean([2, 3])\n");
  module.save(script.string());
  CHECK(load_model(exported)(picture).size(1) == 4);
  CHECK(same(load_model(script)(picture), picture.relu().mean({2, 3})));
  CHECK(load_model(exported, {.prepare = Prepare::fast}).options().prepare == Prepare::fast);
  CHECK(load_model(script, {.prepare = Prepare::fast}).options().prepare == Prepare::fast);
  CHECK(load_input_sizes(script).empty());
  CHECK(contains(message<FileError>([&] { ExportedModel::load(script); }),
                 "is TorchScript, not a torch.export program: load it with load_model"));
  CHECK(contains(message<FileError>([&] { ScriptModel::load(exported); }),
                 "is a torch.export program, not TorchScript: load it with load_model"));
}

TEST_CASE("of several models in one archive an option names one") {
  const TemporaryFolder folder;
  const std::filesystem::path path = folder.path / "models.pt2";
  const auto with = [](const std::string& target) {
    ExportedFile file({any, 2});
    file.call(target, {{"self", as_tensor("x")}}, "out").returns("out");
    return file;
  };
  auto records = with("aten.sin.default").all("first");
  records.merge(with("aten.exp.default").all("second"));
  ExportedFile::write(records, path);
  const at::Tensor x = normal({1, 2}, at::kFloat, 27);
  CHECK(same(load_model(path, {.model = "first"})(x), x.sin()));
  CHECK(same(load_model(path, {.model = "second"})(x), x.exp()));
  CHECK(contains(
      message<FileError>([&] { load_model(path); }),
      "the archive holds the models 'first', 'second'; name one by ModelOptions::model (--archived)"));
  CHECK(contains(message<FileError>([&] { load_model(path, {.model = "third"}); }),
                 "there is no model 'third': the archive holds"));
}

TEST_CASE("a program that was exported in training mode is run as it is, with a warning") {
  ExportedFile file({any, 2});
  file.call("aten.dropout.default",
            {{"input", as_tensor("x")}, {"p", as_float(0.5)}, {"train", as_bool(true)}}, "out")
      .returns("out");
  const support::CatchWarnings caught;
  loaded(file);
  REQUIRE(caught.messages().size() == 1);
  CHECK(contains(caught.messages()[0], "runs 1 dropout as in training"));
}

#endif
