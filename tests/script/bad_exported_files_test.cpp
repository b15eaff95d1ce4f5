// Every way in which a torch.export file may be wrong, and the sentence that says so. An attacker writes
// these.
#include <salience/model/load_model.hpp>

#include <c10/core/CPUAllocator.h>
#include <torch/version.h>

#if TORCH_VERSION_MAJOR >= 2

#include "exported_file.hpp"

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>  // after LibTorch, which has a CHECK of its own

#include "../support.hpp"
#include "../temporary_folder.hpp"

using namespace salience;
using support::as_bool;
using support::as_float;
using support::as_graph;
using support::as_int;
using support::as_ints;
using support::as_size;
using support::as_tensor;
using support::contains;
using support::ExportedFile;
using support::Json;
using support::node;
using support::node_with;
using support::normal;

namespace {

constexpr std::int64_t huge = std::numeric_limits<std::int64_t>::max();
using Records = std::map<std::string, std::string>;

/// A linear layer, a buffer, a constant and a ReLU.
ExportedFile good() {
  ExportedFile file({std::nullopt, 3});
  file.parameter("fc.weight", normal({4, 3}, at::kFloat, 1))
      .buffer("scale", normal({4}, at::kFloat, 2), /*persistent=*/false)
      .call("aten.linear.default", {{"input", as_tensor("x")}, {"weight", as_tensor("p_fc.weight")}},
            "linear", "L__self__,,M;L__self___fc,fc,torch.nn.modules.linear.Linear")
      .call("aten.mul.Tensor", {{"self", as_tensor("linear")}, {"other", as_tensor("b_scale")}}, "mul")
      .call("aten.relu.default", {{"self", as_tensor("mul")}}, "relu")
      .returns("relu");
  return file;
}

/// What is said of a file: one sentence that begins with its path.
std::string refusal(const std::filesystem::path& path, const ModelOptions& options = {}) {
  try {
    load_model(path, options);
  } catch (const FileError& error) {
    const std::string words = error.what(), begin = path.string() + ": ";
    if (!words.starts_with(begin)) return "without the path: " + words;
    if (contains(words, "\n")) return "of several lines: " + words;
    if (words.size() > 600) return "too long: " + words;
    return words.substr(begin.size());
  } catch (const std::exception& error) {
    return std::string("not a FileError: ") + error.what();
  }
  return "nothing thrown";
}

std::string refusal(const Records& records, const ModelOptions& options = {}) {
  const TemporaryFolder folder;
  ExportedFile::write(records, folder.path / "model.pt2");
  return refusal(folder.path / "model.pt2", options);
}

std::string refusal(const ExportedFile& file, const ModelOptions& options = {}) {
  return refusal(file.all(), options);
}

std::string bytes_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string refusal_of_bytes(const std::string& bytes) {
  const TemporaryFolder folder;
  std::ofstream(folder.path / "model.pt2", std::ios::binary) << bytes;
  return refusal(folder.path / "model.pt2");
}

std::string good_bytes() {
  const TemporaryFolder folder;
  good().write(folder.path / "model.pt2");
  return bytes_of(folder.path / "model.pt2");
}

void check(const std::string& said, const std::vector<std::string>& words) {
  CAPTURE(said);
  for (const std::string& word : words) {
    CAPTURE(word);
    CHECK(contains(said, word));
  }
}

struct Bad {
  std::string name;
  std::function<void(ExportedFile&)> spoil;
  std::vector<std::string> words;
};

void check_all(const std::vector<Bad>& cases) {
  for (const Bad& bad : cases) {
    CAPTURE(bad.name);
    ExportedFile file = good();
    bad.spoil(file);
    check(refusal(file), bad.words);
  }
}

Json& weight_meta(ExportedFile& file) { return file.weights["fc.weight"]["tensor_meta"]; }

Json ints(const std::vector<std::int64_t>& values) {
  Json list = Json::array();
  for (const std::int64_t value : values) list.push_back(as_int(value));
  return list;
}

Bad of_lying(const std::string& name, const std::vector<std::int64_t>& sizes,
             const std::vector<std::int64_t>& strides, std::int64_t offset = 0,
             const std::vector<std::string>& words = {
                 "is damaged: a tensor reaches beyond its values in the record data/weights/weight_0"}) {
  return {name,
          [=](ExportedFile& file) {
            weight_meta(file)["sizes"] = ints(sizes);
            weight_meta(file)["strides"] = ints(strides);
            weight_meta(file)["storage_offset"] = as_int(offset);
          },
          words};
}

int calls = 0;

std::int64_t count_calls(const std::string&) { return ++calls; }
at::Tensor count_calls_of(const at::Tensor& tensor, const std::string&) {
  ++calls;
  return tensor;
}
std::int64_t size_and_calls(const at::Tensor& tensor) {
  ++calls;
  return tensor.size(0);
}

TORCH_LIBRARY(salience_hostile, library) {
  library.def("opens(str path) -> int", count_calls);
  library.def("reads(Tensor x, str path) -> Tensor", count_calls_of);
  library.def("size(Tensor x) -> int", size_and_calls);
}

/// Counts what LibTorch's tensors and records take.
class Counting : public c10::Allocator {
 public:
  Counting() : usual_(c10::GetCPUAllocator()) { c10::SetCPUAllocator(this, 1); }
  ~Counting() override { c10::SetCPUAllocator(usual_, 1); }
  c10::DataPtr allocate(std::size_t size) override {
    largest_ = std::max(largest_, size);
    sum_ += size;
    return usual_->allocate(size);
  }
  c10::DeleterFnPtr raw_deleter() const override { return usual_->raw_deleter(); }
  void copy_data(void* to, const void* from, std::size_t count) const override {
    usual_->copy_data(to, from, count);
  }

  std::size_t largest() const { return largest_; }
  std::size_t sum() const { return sum_; }

 private:
  c10::Allocator* usual_;
  std::size_t largest_ = 0, sum_ = 0;
};

}  // namespace

TEST_CASE("the file that is spoiled below is right") {
  CHECK(refusal(good()) == "nothing thrown");
  const TemporaryFolder folder;
  good().write(folder.path / "model.pt2");
  const at::Tensor x = normal({2, 3}, at::kFloat, 3);
  CHECK(support::same(load_model(folder.path / "model.pt2")(x),
                      (torch::linear(x, normal({4, 3}, at::kFloat, 1)) * normal({4}, at::kFloat, 2)).relu()));
}

TEST_CASE("what is no archive of a program says what it is and what to do") {
  check(refusal_of_bytes(""), {"is neither a torch.export program nor TorchScript", "torch.export.save"});
  check(refusal_of_bytes("weights"), {"is neither a torch.export program nor TorchScript"});
  check(refusal_of_bytes("PK\x05\x06" + std::string(18, '\0')), {"is a zip archive, but not a model"});
  check(refusal_of_bytes("PK\x03\x04"), {"is a damaged zip archive"});
  check(refusal(Records{{"data/aotinductor/model/model.so",
                         "\x7f"
                         "ELF"},
                        {"archive_format", "pt2"}}),
        {"is compiled by AOTInductor",
         "save the program that it was compiled from: torch.export.save(program"});
  check(
      refusal(Records{
          {"serialized_exported_program.json", "{}"}, {"serialized_state_dict.pt", ""}, {"version", "8.1"}}),
      {"in a layout of older PyTorch", "torch.export.save(torch.export.load("});
  check(refusal(Records{{"data.pkl", ""}}), {"holds a state dict or another Python object"});
}

TEST_CASE("a truncated file") {
  const std::string whole = good_bytes();
  for (std::size_t length = 0; length < whole.size();
       length += length < 64 || whole.size() - length < 128 ? 1 : 61) {
    CAPTURE(length);
    check(refusal_of_bytes(whole.substr(0, length)),
          {length < 2 ? "is neither a torch.export program nor TorchScript"
                      : "is a damaged zip archive, not a model (truncated?)"});
  }
}

TEST_CASE("a missing or renamed record is named") {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"models/model.json", "is a zip archive, but not a model"},
      {"data/weights/model_weights_config.json",
       "is damaged: it has no record data/weights/model_weights_config.json"},
      {"data/constants/model_constants_config.json",
       "is damaged: it has no record data/constants/model_constants_config.json"},
      {"data/weights/weight_0", "is damaged: it has no record data/weights/weight_0"},
      {"data/constants/tensor_0", "is damaged: it has no record data/constants/tensor_0"}};
  for (const auto& [name, words] : cases) {
    Records records = good().all();
    REQUIRE(records.count(name) == 1);
    auto record = records.extract(name);
    check(refusal(records), {words});
    record.key() += "_old";
    records.insert(std::move(record));
    check(refusal(records), {words});
  }
}

TEST_CASE("two records that took each other's place") {
  Records records = good().all();
  std::swap(records["data/weights/weight_0"], records["data/constants/tensor_0"]);
  check(refusal(records),
        {"is damaged: a tensor reaches beyond its values in the record data/weights/weight_0"});
  records = good().all();
  std::swap(records["data/weights/model_weights_config.json"],
            records["data/constants/model_constants_config.json"]);
  check(refusal(records), {"is damaged: it has no record data/constants/weight_0"});
  records = good().all();
  std::swap(records["models/model.json"], records["data/weights/model_weights_config.json"]);
  check(refusal(records),
        {"is damaged: its program is not what torch.export writes", "'schema_version' not found"});
}

TEST_CASE("a tensor that reaches beyond its record is never made") {
  const std::string beyond = "expanded beyond reason in the record data/weights/weight_0";
  check_all({
      of_lying("more rows", {5, 3}, {3, 1}),
      of_lying("longer strides", {4, 3}, {4, 1}),
      of_lying("an offset", {4, 3}, {3, 1}, 1),
      of_lying("an offset far away", {4, 3}, {3, 1}, huge),
      of_lying("the first beyond", {1}, {1}, 12),
      of_lying("none, far away", {0}, {1}, 13),
      of_lying("a negative size", {-1, 3}, {3, 1}),
      of_lying("a negative stride", {4, 3}, {3, -1}),
      of_lying("a negative offset", {4, 3}, {3, 1}, -1),
      of_lying("the lowest offset", {4, 3}, {3, 1}, std::numeric_limits<std::int64_t>::min()),
      of_lying("sizes that overflow to a few", {huge, 2, huge}, {1, 1, 1}),
      of_lying("sizes of which the product is 0 in 64 bits", {1LL << 32, 1LL << 32}, {0, 0}),
      of_lying("sizes that overflow beside a 0", {0, huge, huge}, {1, 1, 1}),
      of_lying("strides that overflow", {3, 3}, {huge, huge}),
      of_lying("strides that overflow to a few", {5, 2}, {1LL << 62, 1}),
      of_lying("fewer strides than sizes", {4, 3}, {3}),
      of_lying("more strides than sizes", {4}, {3, 1}),
      of_lying("65 dimensions", std::vector<std::int64_t>(65, 1), std::vector<std::int64_t>(65, 1)),
      of_lying("expanded", {1LL << 40}, {0}, 0, {beyond}),
      of_lying("expanded in two dimensions", {1LL << 20, 1LL << 20}, {0, 1}, 0, {"reaches beyond"}),
      of_lying("overlapping", {1LL << 20, 1LL << 20}, {0, 0}, 0, {beyond}),
      {"of a larger type",
       [](ExportedFile& file) { weight_meta(file)["dtype"] = 8; },
       {"reaches beyond its values"}},
      {"an expanded one, many times",
       [](ExportedFile& file) {
         weight_meta(file)["sizes"] = ints({1 << 23});
         weight_meta(file)["strides"] = ints({0});
         for (const char* name : {"a", "b", "c"}) {
           file.inputs.push_back({{"parameter", {{"arg", {{"name", name}}}, {"parameter_name", name}}}});
           file.weights[name] = file.weights["fc.weight"];
           file.weights[name]["tensor_meta"]["storage_offset"] = as_int(name[0] - 'a' + 1);
         }
       },
       {beyond}},
      {"a size that is no integer",
       [](ExportedFile& file) {
         weight_meta(file)["sizes"][0] = {{"as_int", 4.5}};
       },
       {"the program has 4.5 where it needs an integer"}},
      {"a size beyond 64 bits",
       [](ExportedFile& file) {
         weight_meta(file)["sizes"][0] = {{"as_int", std::numeric_limits<std::uint64_t>::max()}};
       },
       {"the program has 18446744073709551615 where it needs an integer"}},
      {"a size that is a symbol",
       [](ExportedFile& file) {
         weight_meta(file)["sizes"][0] = {{"as_expr", {{"expr_str", "s0"}}}};
       },
       {"stores a tensor whose size is not a number"}},
      {"an unknown type",
       [](ExportedFile& file) { weight_meta(file)["dtype"] = 99; },
       {"has tensors of a type that is not known here (number 99)"}},
      {"the type 0",
       [](ExportedFile& file) { weight_meta(file)["dtype"] = 0; },
       {"not known here (number 0)"}},
      {"a negative type",
       [](ExportedFile& file) { weight_meta(file)["dtype"] = -1; },
       {"not known here (number -1)"}},
      {"a sparse tensor",
       [](ExportedFile& file) { weight_meta(file)["layout"] = 1; },
       {"stores a tensor that is not dense"}},
      {"a pickle",
       [](ExportedFile& file) { file.weights["fc.weight"]["use_pickle"] = true; },
       {"holds a Python pickle (a tensor subclass or a custom object), which is not read"}},
      {"a tensor without values",
       [](ExportedFile& file) { file.weights.erase("fc.weight"); },
       {"is damaged: it has no values for 'fc.weight'"}},
      {"two things of one name",
       [](ExportedFile& file) { file.parameter("fc", normal({1}, at::kFloat)); },
       {"is damaged: it has two things at 'fc"}},
      {"a name that is too deep",
       [](ExportedFile& file) {
         std::string path = "a";
         for (int i = 0; i < 100; ++i) path += ".a";
         file.parameter(path, normal({1}, at::kFloat));
       },
       {"the program's names are too deep"}},
  });
}

TEST_CASE("another machine, version or kind of file") {
  check_all({
      {"big-endian",
       [](ExportedFile& file) { file.records["byteorder"] = "big"; },
       {"was written on a big-endian machine; save it on a little-endian one"}},
      {"an older schema",
       [](ExportedFile& file) { file.schema = 7; },
       {"is written in version 7 of torch.export's schema, of which version 8 is known here; save it anew "
        "with a PyTorch that writes that"}},
      {"a newer schema",
       [](ExportedFile& file) { file.schema = 9; },
       {"is written in version 9 of torch.export's schema"}},
  });
  Records records = good().all();
  records["models/model.json"] = "{";
  check(refusal(records), {"is damaged: its program is not what torch.export writes (parse error"});
  records["models/model.json"] = "\xff\xfe";
  check(refusal(records), {"is damaged: its program is not what torch.export writes (parse error"});
  records["models/model.json"] = "[]";
  check(refusal(records), {"is damaged: its program is not what torch.export writes"});
  for (const char* bracket : {"[", "{\"a\":"}) {  // deeper than any stack
    std::string deep;
    for (int i = 0; i < 1 << 20; ++i) deep += bracket;
    records["models/model.json"] = deep;
    check(refusal(records), {"the program is nested beyond reason"});
  }
  const std::string deep = "[" + std::string(1 << 20, '[');
  check_all({{"a name's JSON in a text",
              [&](ExportedFile& file) { file.tree["context"] = deep, file.tree["type"] = "m.C"; },
              {"the program is nested beyond reason"}}});
}

TEST_CASE("programs that are not those of a model") {
  const auto call = [](const std::string& target, const support::Arguments& arguments) {
    return [=](ExportedFile& file) { file.nodes.push_back(node(target, arguments, {"more"})); };
  };
  const Json x = as_tensor("x");
  check_all({
      {"an operator of another library",
       call("torchvision.nms.default", {{"boxes", x}}),
       {"the program calls torch.ops.torchvision.nms.default, which is not registered here: link the library "
        "that defines it"}},
      {"an overload that is not there",
       call("aten.relu.Tensor", {{"self", x}}),
       {"torch.ops.aten.relu.Tensor, which is not registered here"}},
      {"a function of Python",
       call("_operator.call", {{"a", x}}),
       {"the program calls '_operator.call', which is no operator of LibTorch"}},
      {"no name", call("aten", {}), {"the program calls 'torch.ops.aten', which is no operator of LibTorch"}},
      {"a file",
       call("aten.from_file.default", {{"filename", {{"as_string", "/etc/passwd"}}}}),
       {"the program calls torch.ops.aten.from_file.default, which may not be called from a file"}},
      {"a file, out",
       call("aten.from_file.out", {{"filename", {{"as_string", "/etc/passwd"}}}}),
       {"may not be called from a file"}},
      {"standard output",
       call("aten._print.default", {{"s", {{"as_string", "words"}}}}),
       {"may not be called from a file"}},
      {"torchvision's files",
       call("image.write_file.default", {{"filename", {{"as_string", "/tmp/x"}}}}),
       {"may not be called from a file"}},
      {"other processes",
       call("_c10d_functional.all_reduce.default", {{"input", x}}),
       {"may not be called from a file"}},
      {"addresses",
       call("inductor._reinterpret_tensor.default", {{"self", x}}),
       {"may not be called from a file"}},
      {"indices that nothing checks",
       call("aten._sparse_coo_tensor_unsafe.default", {{"indices", x}}),
       {"may not be called from a file"}},
      {"another sub-graph",
       call("higher_order.while_loop", {{"", x}}),
       {"the program runs a sub-graph by 'while_loop', which is not supported (supported are cond, no_grad "
        "and autocast)"}},
      {"an argument too many",
       call("aten.relu.default", {{"self", x}, {"other", x}}),
       {"the program's call of aten::relu has an argument 'other', which this LibTorch does not know"}},
      {"an argument too few",
       call("aten.relu.default", {}),
       {"the program's call of aten::relu lacks the argument 'self'"}},
      {"an argument of another type",
       call("aten.mean.dim", {{"self", x}, {"dim", {{"as_string", "a"}}}}),
       {"str in a list of int"}},
      {"an argument of another type",
       call("aten.relu.default", {{"self", {{"as_string", "a"}}}}),
       {"has a str for 'self', which is a Tensor"}},
      {"an argument of no kind",
       call("aten.relu.default", {{"self", {{"as_secret", 1}}}}),
       {"has an argument of the kind 'as_secret', which is not supported"}},
      {"an argument of two kinds",
       call("aten.relu.default", {{"self", {{"as_int", 1}, {"as_float", 1.0}}}}),
       {"where it needs one argument"}},
      {"a name that nothing gives",
       call("aten.relu.default", {{"self", as_tensor("y")}}),
       {"the program reads 'y', which nothing gives"}},
      {"a name that is given twice",
       [&](ExportedFile& file) {
         file.call("aten.relu.default", {{"self", x}}, "relu");
       },
       {"the program gives 'relu' twice"}},
      {"more results than there are",
       [&](ExportedFile& file) {
         file.nodes.push_back(node("aten.relu.default", {{"self", x}}, {"a", "b"}));
       },
       {"the program names more results than an operator gives"}},
      {"a result of another kind",
       [&](ExportedFile& file) {
         file.nodes.push_back(
             node_with("aten.relu.default", {{"self", x}}, Json::array({{{"as_graph", "a"}}})));
       },
       {"has a result of the kind 'as_graph', which is not supported"}},
      {"a sparse tensor",
       call("aten.zeros.default", {{"size", as_ints({2})}, {"layout", {{"as_layout", 1}}}}),
       {"makes tensors that are not dense"}},
      {"a memory format",
       call("aten.contiguous.default", {{"self", x}, {"memory_format", {{"as_memory_format", 77}}}}),
       {"an unknown memory format (number 77)"}},
      {"two inputs",
       [](ExportedFile& file) {
         file.inputs.push_back({{"user_input", {{"arg", as_tensor("mask")}}}});
         file.values["mask"] = file.values["x"];
       },
       {"the model takes 2 inputs (x, mask), an attribution needs exactly one tensor: bind the others"}},
      {"an input twice",
       [](ExportedFile& file) {
         file.inputs.push_back({{"user_input", {{"arg", as_tensor("x")}}}});
       },
       {"the program takes 'x' twice"}},
      {"an input without a shape",
       [](ExportedFile& file) {
         file.inputs.push_back({{"user_input", {{"arg", as_tensor("mask")}}}});
       },
       {"is damaged"}},
      {"no input",
       [](ExportedFile& file) { file.inputs.erase(0); },
       {"the model takes no input that is left to explain"}},
      {"a size as input",
       [](ExportedFile& file) {
         file.inputs.push_back({{"user_input", {{"arg", as_size("n")}}}});
       },
       {"the model takes 2 inputs (x, n)"}},
      {"a token",
       [](ExportedFile& file) {
         file.inputs.push_back({{"token", {{"arg", {{"name", "t"}}}}}});
       },
       {"the program takes a token, which is not supported"}},
      {"no output",
       [](ExportedFile& file) { file.outputs = Json::array(), file.output_specs = Json::array(); },
       {"the program returns no tensor"}},
      {"an output without a meaning",
       [](ExportedFile& file) { file.output_specs = Json::array(); },
       {"is damaged: it has results without a meaning"}},
      {"something else as its nodes",
       [](ExportedFile& file) { file.nodes = 3; },
       {"is damaged: its program is not what torch.export writes"}},
      {"something else as a target",
       [](ExportedFile& file) { file.nodes[0]["target"] = 3; },
       {"the program has 3 where it needs a text"}},
      {"something else as the weights", [](ExportedFile& file) { file.weights = "none"; }, {"is damaged"}},
      {"layers in layers",
       [&](ExportedFile& file) {
         std::string stack;
         for (int i = 0; i < 100; ++i) stack += "k" + std::to_string(i) + ",p,m.T;";
         file.call("aten.relu.default", {{"self", x}}, "more", stack);
       },
       {"the program nests layers beyond reason"}},
      {"texts in the place of sizes",
       call("_operator.add", {{"a", {{"as_string", "a"}}}, {"b", {{"as_string", "a"}}}}),
       {"the program calls 'add' with a str, which is no number"}},
      {"too few sizes",
       call("_operator.add", {{"a", as_int(1)}}),
       {"the program calls 'add' with arguments that do not fit"}},
      {"the size of a size",
       call("aten.sym_size.int", {{"self", as_int(1)}, {"dim", as_int(1)}}),
       {"the program calls 'size' with arguments that do not fit"}},
  });
}

TEST_CASE("loading runs no operator, whatever its arguments are") {
  calls = 0;
  const Json words = {{"as_string", "/etc/passwd"}};
  check_all({{"of texts alone",
              [&](ExportedFile& file) {
                file.nodes.push_back(node("salience_hostile.opens.default", {{"path", words}}, {"more"}));
              },
              {"the program's call of salience_hostile::opens neither takes nor gives a tensor, which is not "
               "supported"}},
             {"of a number as a tensor",
              [&](ExportedFile& file) {
                file.nodes.push_back(node("salience_hostile.size.default", {{"x", as_int(3)}}, {"more"}));
              },
              {"neither takes nor gives a tensor"}}});
  ExportedFile file = good();
  file.call("salience_hostile.reads.default", {{"x", as_int(3)}, {"path", words}}, "read")
      .size("torch.ops.salience_hostile.size.default", {{"x", as_tensor("p_fc.weight")}}, "size")
      .call("aten.mul.Tensor", {{"self", as_tensor("relu")}, {"other", as_tensor("read")}}, "first")
      .call("aten.mul.Tensor", {{"self", as_tensor("first")}, {"other", as_size("size")}}, "second");
  file.outputs = Json::array();
  file.output_specs = Json::array();
  file.returns("second");
  const TemporaryFolder folder;
  file.write(folder.path / "model.pt2");
  const GraphModel model = load_model(folder.path / "model.pt2");
  static_cast<void>(model.layers());
  CHECK(calls == 0);
  static_cast<void>(model(normal({2, 3}, at::kFloat, 3)));
  CHECK(calls == 2);
}

TEST_CASE("sub-graphs that do not fit") {
  const auto sub = [](const std::string& name, std::vector<Json> arguments) {
    return [=](ExportedFile& file) {
      support::Arguments named;
      for (const Json& argument : arguments) named.emplace_back("", argument);
      file.nodes.push_back(node("higher_order." + name, named, {"more"}));
    };
  };
  const Json x = as_tensor("x");
  const Json identity = as_graph({as_tensor("y")}, {}, {as_tensor("y")});
  const Json size =
      as_graph({as_tensor("y")},
               {node_with("torch.ops.aten.sym_size.int", {{"self", as_tensor("y")}, {"dim", as_int(0)}},
                          Json::array({as_size("n")}))},
               {as_size("n")});
  const Json list = {{"as_tensors", {{{"name", "x"}}}}};
  Json nested = identity;
  for (int i = 0; i < 40; ++i) {
    nested = as_graph({as_tensor("y")},
                      {node("higher_order.wrap_with_set_grad_enabled",
                            {{"", as_bool(true)}, {"", nested}, {"", as_tensor("y")}}, {"z"})},
                      {as_tensor("z")});
  }
  check_all({
      {"none",
       sub("wrap_with_set_grad_enabled", {as_bool(true), x, x}),
       {"the program runs a sub-graph that is not there"}},
      {"other arguments",
       sub("wrap_with_set_grad_enabled", {as_bool(true), identity, x, x}),
       {"gives 2 values to a sub-graph that takes 1"}},
      {"a mode that is none",
       sub("wrap_with_set_grad_enabled", {as_int(3), identity, x}),
       {"the program calls 'set_grad_enabled' with arguments that do not fit"}},
      {"too few",
       sub("cond", {as_bool(true), identity}),
       {"the program gives 0 values to a sub-graph that takes 1"}},
      {"nothing", sub("wrap_with_autocast", {}), {"is damaged"}},
      {"other results",
       sub("cond", {as_bool(true), identity, size, list}),
       {"the branches of the program's cond give different results"}},
      {"fewer results",
       sub("cond", {as_bool(true), identity, as_graph({as_tensor("y")}, {}, {}), list}),
       {"the branches of the program's cond give different results"}},
      {"what is outside",
       sub("cond", {as_bool(true), identity, as_graph({as_tensor("y")}, {}, {as_tensor("relu")}), list}),
       {"the program reads 'relu', which nothing gives"}},
      {"in each other",
       sub("wrap_with_set_grad_enabled", {as_bool(true), nested, x}),
       {"the program nests sub-graphs beyond reason"}},
  });
}

TEST_CASE("an input that nobody can make is refused, and no batch is made of it") {
  for (const std::vector<std::optional<std::int64_t>>& sizes :
       std::vector<std::vector<std::optional<std::int64_t>>>{
           {0, 3}, {-1, 3}, {1LL << 40, 3}, {std::nullopt, -3}, {1 << 20, 1 << 20}, {huge, huge}}) {
    ExportedFile file(sizes);
    file.call("aten.relu.default", {{"self", as_tensor("x")}}, "relu").returns("relu");
    check(refusal(file), {"the program takes an input of shape (", "which no attribution can give it"});
    const TemporaryFolder folder;
    file.write(folder.path / "model.pt2");
    CHECK(contains(support::message<FileError>([&] { load_input_sizes(folder.path / "model.pt2"); }),
                   "which no attribution can give it"));
  }
}

TEST_CASE("sizes that are divided by 0 or -1 end no process, not even where they are known in the file") {
  for (const char* operation : {"_operator.mod", "_operator.floordiv"}) {
    for (const std::int64_t divisor : {0, -1}) {
      for (const bool known : {true, false}) {
        ExportedFile file({std::nullopt, std::nullopt});
        file.size("torch.ops.aten.sym_size.int", {{"self", as_tensor("x")}, {"dim", as_int(0)}}, "n")
            .size("_operator.sub", {{"a", as_size("n")}, {"b", as_int(2 - divisor)}}, "divisor")
            .size(operation,
                  {{"a", as_int(std::numeric_limits<std::int64_t>::min())},
                   {"b", known ? as_int(divisor) : as_size("divisor")}},
                  "size")
            .call("aten.mul.Tensor", {{"self", as_tensor("x")}, {"other", as_size("size")}}, "mul")
            .returns("mul");
        const TemporaryFolder folder;
        file.write(folder.path / "model.pt2");
        const GraphModel model = load_model(folder.path / "model.pt2");
        CHECK(contains(support::message<ModelError>([&] {
                         model(normal({2, 2}, at::kFloat));
                       }),
                       "the program divides a size by 0 or -1"));
      }
    }
  }
}

TEST_CASE("a program that cannot be prepared says so") {
  ExportedFile file({std::nullopt, 3, 4, 4});
  file.parameter("weight", normal({4, 3, 1, 1}, at::kFloat, 1))
      .buffer("mean", normal({7}, at::kFloat, 2))
      .buffer("var", normal({7}, at::kFloat, 3).square())
      .call("aten.conv2d.default", {{"input", as_tensor("x")}, {"weight", as_tensor("p_weight")}}, "conv")
      .call("aten.batch_norm.default",
            {{"input", as_tensor("conv")},
             {"weight", {{"as_none", true}}},
             {"bias", {{"as_none", true}}},
             {"running_mean", as_tensor("b_mean")},
             {"running_var", as_tensor("b_var")},
             {"training", as_bool(false)},
             {"momentum", as_float(0.1)},
             {"eps", as_float(1e-5)},
             {"cudnn_enabled", as_bool(true)}},
            "out")
      .returns("out");
  CHECK(refusal(file) == "nothing thrown");
  check(refusal(file, {.prepare = Prepare::fast}), {"the model's program cannot be prepared: "});
}

TEST_CASE("a directory of the archive that lies is refused before any memory is taken") {
  const std::string whole = good_bytes();
  const Counting counting;
  for (std::size_t entry = whole.find("PK\x01\x02"); entry != std::string::npos;
       entry = whole.find("PK\x01\x02", entry + 4)) {
    std::string bytes = whole;
    bytes.replace(entry + 20, 8, "\xff\xff\xff\x7f\xff\xff\xff\x7f");  // packed, and unpacked
    check(refusal_of_bytes(bytes),
          {"is not what torch.export.save writes: a record is packed or claims more than the file has"});
    bytes = whole;
    bytes.replace(entry + 10, 2, std::string("\x08\x00", 2));  // packed
    check(refusal_of_bytes(bytes),
          {"is not what torch.export.save writes: a record is packed or claims more than the file has"});
  }
  CHECK(counting.largest() < whole.size());
}

TEST_CASE("a flipped bit of any record is noticed, or makes another program; it never ends the process") {
  const std::string whole = good_bytes();
  const at::Tensor x = normal({2, 3}, at::kFloat, 3);
  for (std::size_t place = 0; place < whole.size(); place += 7) {
    std::string bytes = whole;
    bytes[place] = static_cast<char>(bytes[place] ^ (1 << place % 8));
    CAPTURE(place);
    const std::string said = refusal_of_bytes(bytes);
    CHECK_FALSE(contains(said, "not a FileError"));
    CHECK_FALSE(contains(said, "of several lines"));
    CHECK_FALSE(contains(said, "without the path"));
  }
}

TEST_CASE("an archive that LibTorch cannot read") {
  std::string bytes = good_bytes();
  const std::size_t name = bytes.find("/version"), end = bytes.find('\n', name);
  REQUIRE(end != std::string::npos);
  bytes.replace(end - 2, 2, "xx");  // of which LibTorch says so by an exception that is no c10::Error
  check(refusal_of_bytes(bytes), {"is no archive that LibTorch reads: "});
}

TEST_CASE("no number in a file takes memory") {
  std::vector<ExportedFile> files(6, good());
  weight_meta(files[0])["sizes"] = ints({1LL << 40});
  weight_meta(files[0])["strides"] = ints({0});
  weight_meta(files[1])["sizes"] = ints({1LL << 40, 3});
  weight_meta(files[2])["storage_offset"] = as_int(1LL << 40);
  files[3].nodes.push_back(node("aten.zeros.default", {{"size", as_ints({1LL << 40})}}, {"more"}));
  weight_meta(files[4])["sizes"] = ints({1 << 24});  // may be: no values are copied, in whatever type
  weight_meta(files[4])["strides"] = ints({0});
  files[5].nodes.push_back(node_with("aten.split.Tensor",
                                     {{"self", as_tensor("x")}, {"split_size", as_int(1LL << 60)}},
                                     Json::array({{{"as_tensors", {{{"name", "part"}}}}}})));
  for (const ExportedFile& file : files) {
    const TemporaryFolder folder;
    file.write(folder.path / "model.pt2");
    const std::size_t size = std::filesystem::file_size(folder.path / "model.pt2");
    const Counting counting;
    refusal(folder.path / "model.pt2", {.dtype = at::kDouble});
    CHECK(counting.largest() < 4 * size);
    CHECK(counting.sum() < 8 * size);
  }
}

TEST_CASE("a program of very many steps is no deeper than one of few") {
  ExportedFile file({std::nullopt, 3});
  std::string last = "x";
  for (int i = 0; i < 60000; ++i) {
    const std::string next = "v" + std::to_string(i);
    file.call("aten.alias.default", {{"self", as_tensor(last)}}, next);
    last = next;
  }
  file.returns(last);
  const TemporaryFolder folder;
  file.write(folder.path / "model.pt2");
  const at::Tensor x = normal({1, 3}, at::kFloat, 3);
  CHECK(support::same(load_model(folder.path / "model.pt2")(x), x));
}

#else

#include <filesystem>
#include <fstream>

#include <doctest/doctest.h>

#include "../support.hpp"
#include "../temporary_folder.hpp"

TEST_CASE("LibTorch 1.13 says of what is no model that it is none, and what to do") {
  const TemporaryFolder folder;
  const std::filesystem::path path = folder.path / "model.pt2";
  std::ofstream(path) << "weights";
  const std::string said = support::message<salience::FileError>([&] { salience::load_model(path); });
  CHECK(support::contains(said, "is neither a torch.export program nor TorchScript"));
}

#endif
