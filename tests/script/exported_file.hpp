// Writes torch.export archives, right and wrong ones.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <caffe2/serialize/inline_container.h>
#include <torch/script.h>

#include <nlohmann/json.hpp>

namespace support {

using Json = nlohmann::json;

/// Arguments of operators.
inline Json as_tensor(const std::string& name) { return {{"as_tensor", {{"name", name}}}}; }
inline Json as_size(const std::string& name) { return {{"as_sym_int", {{"as_name", name}}}}; }
inline Json as_int(std::int64_t value) { return {{"as_int", value}}; }
inline Json as_float(double value) { return {{"as_float", value}}; }
inline Json as_bool(bool value) { return {{"as_bool", value}}; }
inline Json as_ints(const std::vector<std::int64_t>& values) { return {{"as_ints", values}}; }
inline Json as_dtype(int code) { return {{"as_scalar_type", code}}; }

using Arguments = std::vector<std::pair<std::string, Json>>;

/// A call of an operator, "aten.relu.default", which gives tensors by these names (or what `outputs` are as
/// JSON), in these calls of layers.
inline Json node_with(const std::string& target, const Arguments& arguments, Json outputs,
                      const std::string& stack = "") {
  Json inputs = Json::array();
  for (const auto& [name, value] : arguments) inputs.push_back({{"name", name}, {"arg", value}, {"kind", 1}});
  const bool python =
      target.starts_with("_operator.") || target.starts_with("torch.") || target.starts_with("math.");
  return {{"target", python ? target : "torch.ops." + target},
          {"inputs", inputs},
          {"outputs", std::move(outputs)},
          {"metadata", stack.empty() ? Json::object() : Json{{"nn_module_stack", stack}}}};
}

inline Json node(const std::string& target, const Arguments& arguments,
                 const std::vector<std::string>& outputs, const std::string& stack = "") {
  Json named = Json::array();
  for (const std::string& output : outputs) named.push_back(as_tensor(output));
  return node_with(target, arguments, named, stack);
}

/// A sub-graph as an argument.
inline Json as_graph(const std::vector<Json>& inputs, const std::vector<Json>& nodes,
                     const std::vector<Json>& outputs) {
  return {
      {"as_graph",
       {{"name", "inner"},
        {"graph",
         {{"inputs", inputs}, {"nodes", nodes}, {"outputs", outputs}, {"tensor_values", Json::object()}}}}}};
}

/// The code of a type in these files.
inline int dtype_code(at::ScalarType dtype) {
  return dtype == at::kFloat ? 7 : dtype == at::kDouble ? 8 : dtype == at::kLong ? 5 : 12;
}

/// How a tensor lies in its record.
inline Json tensor_meta(const at::Tensor& tensor) {
  const auto ints = [](at::IntArrayRef values) {
    Json list = Json::array();
    for (const std::int64_t value : values) list.push_back(as_int(value));
    return list;
  };
  return {{"dtype", dtype_code(tensor.scalar_type())},
          {"sizes", ints(tensor.sizes())},
          {"strides", ints(tensor.strides())},
          {"storage_offset", as_int(tensor.storage_offset())},
          {"layout", 7},
          {"device", {{"type", "cpu"}, {"index", nullptr}}},
          {"requires_grad", false}};
}

/// A program and its tensors. What is public may be made wrong before it is written.
struct ExportedFile {
  Json nodes = Json::array(), outputs = Json::array(), inputs = Json::array(), output_specs = Json::array();
  Json values = Json::object();
  Json weights = Json::object(), constants = Json::object();
  Json tree = {{"type", nullptr}, {"context", nullptr}, {"children_spec", Json::array()}};
  std::int64_t schema = 8;
  std::map<std::string, std::string> records{{"archive_format", "pt2"}, {"byteorder", "little"}};

  /// Of a tensor `x`; nothing for a size that may vary.
  explicit ExportedFile(const std::vector<std::optional<std::int64_t>>& sizes,
                        const std::string& input = "x") {
    if (input.empty()) return;
    inputs.push_back({{"user_input", {{"arg", as_tensor(input)}}}});
    Json list = Json::array();
    for (const auto& size : sizes)
      list.push_back(size ? as_int(*size) : Json{{"as_expr", {{"expr_str", "s0"}}}});
    values[input] = {{"dtype", 7}, {"sizes", list}};
  }

  ExportedFile& parameter(const std::string& path, const at::Tensor& tensor) {
    inputs.push_back({{"parameter", {{"arg", {{"name", "p_" + path}}}, {"parameter_name", path}}}});
    return hold(weights, "weight_", "data/weights/", path, tensor);
  }
  ExportedFile& buffer(const std::string& path, const at::Tensor& tensor, bool persistent = true) {
    inputs.push_back(
        {{"buffer", {{"arg", {{"name", "b_" + path}}}, {"buffer_name", path}, {"persistent", persistent}}}});
    return persistent ? hold(weights, "weight_", "data/weights/", path, tensor)
                      : hold(constants, "tensor_", "data/constants/", path, tensor);
  }
  ExportedFile& constant(const std::string& path, const at::Tensor& tensor) {
    inputs.push_back(
        {{"tensor_constant", {{"arg", {{"name", "c_" + path}}}, {"tensor_constant_name", path}}}});
    return hold(constants, "tensor_", "data/constants/", path, tensor);
  }
  ExportedFile& call(const std::string& target, const Arguments& arguments, const std::string& output,
                     const std::string& stack = "") {
    nodes.push_back(node(target, arguments, {output}, stack));
    return *this;
  }
  /// One that gives a size.
  ExportedFile& size(const std::string& target, const Arguments& arguments, const std::string& output) {
    nodes.push_back(node_with(target, arguments, Json::array({as_size(output)})));
    return *this;
  }
  ExportedFile& returns(const std::string& name) {
    outputs.push_back(as_tensor(name));
    output_specs.push_back({{"user_output", {{"arg", as_tensor(name)}}}});
    return *this;
  }
  /// What the program wrote to a buffer stands first among its outputs.
  ExportedFile& mutates(const std::string& path, const std::string& name) {
    outputs.push_back(as_tensor(name));
    output_specs.push_back({{"buffer_mutation", {{"arg", {{"name", name}}}, {"buffer_name", path}}}});
    return *this;
  }

  Json program() const {
    return {
        {"schema_version", {{"major", schema}, {"minor", 20}}},
        {"torch_version", "2.13.0"},
        {"range_constraints", Json::object()},
        {"graph_module",
         {{"graph",
           {{"inputs", Json::array()}, {"nodes", nodes}, {"outputs", outputs}, {"tensor_values", values}}},
          {"signature", {{"input_specs", inputs}, {"output_specs", output_specs}}},
          {"treespec_namedtuple_fields", Json::object()},
          {"module_call_graph",
           {{{"fqn", ""}, {"signature", {{"in_spec", ""}, {"out_spec", Json({1, tree}).dump()}}}}}}}}};
  }

  /// All records of the archive. The model is called `name` in it.
  std::map<std::string, std::string> all(const std::string& name = "model") const {
    std::map<std::string, std::string> result = records;
    result["models/" + name + ".json"] = program().dump();
    result["data/weights/" + name + "_weights_config.json"] = Json{{"config", weights}}.dump();
    result["data/constants/" + name + "_constants_config.json"] = Json{{"config", constants}}.dump();
    return result;
  }

  void write(const std::filesystem::path& path) const { write(all(), path); }

  static void write(const std::map<std::string, std::string>& records, const std::filesystem::path& path) {
    std::ofstream file(path, std::ios::binary | std::ios::trunc);
    caffe2::serialize::PyTorchStreamWriter writer([&file](const void* bytes, std::size_t size) {
      file.write(static_cast<const char*>(bytes), static_cast<std::streamsize>(size));
      return size;
    });
    for (const auto& [name, bytes] : records) writer.writeRecord(name, bytes.data(), bytes.size());
    writer.writeEndOfFile();
  }

 private:
  /// A tensor is saved with all that its storage holds; tensors that share one share the record.
  ExportedFile& hold(Json& config, const std::string& prefix, const std::string& folder,
                     const std::string& path, const at::Tensor& tensor) {
    storages_.push_back(tensor);
    const auto* bytes = static_cast<const char*>(tensor.storage().data());
    std::string& name = names_[folder + std::to_string(reinterpret_cast<std::uintptr_t>(bytes))];
    if (name.empty()) {
      name = prefix + std::to_string(config.size());
      records[folder + name] = std::string(bytes, tensor.storage().nbytes());
    }
    config[path] = {
        {"path_name", name}, {"is_param", true}, {"use_pickle", false}, {"tensor_meta", tensor_meta(tensor)}};
    return *this;
  }

  std::vector<at::Tensor> storages_;  // so that no other takes their addresses
  std::map<std::string, std::string> names_;
};

}  // namespace support
