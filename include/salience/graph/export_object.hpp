// The tensors of an exported program as an object.
#pragma once

#include <algorithm>
#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <torch/script.h>

#include <salience/error.hpp>
#include <salience/graph/export_archive.hpp>
#include <salience/graph/export_arguments.hpp>
#include <salience/graph/object_copy.hpp>

namespace salience::detail {

/// The tensors of a program: a tree of objects like the model's modules, and where each tensor is in it.
class ExportedObject {
 public:
  ExportedObject() : object_("__torch__.exported") {}

  const torch::jit::Module& object() const noexcept { return object_; }

  /// Puts a tensor at a path such as "layer1.0.conv1.weight".
  void add(const std::string& path, const at::Tensor& tensor, bool parameter) {
    free_place(path).register_parameter(parted(path).second, tensor, /*is_buffer=*/!parameter);
  }

  /// The tensor at that path in a graph whose first input is the object.
  torch::jit::Value* read(torch::jit::Graph& graph, const std::string& path) {
    if (path.empty()) return graph.inputs().at(0);
    torch::jit::Value*& value = read_[path];
    if (!value) {
      const auto [owner, name] = parted(path);
      value = graph.insertGetAttr(read(graph, owner), name);
    }
    return value;
  }

 private:
  /// "layer1.0.conv1" and "weight"; the object itself is "".
  static std::pair<std::string, std::string> parted(const std::string& path) {
    const std::size_t dot = path.rfind('.');
    if (dot == std::string::npos) return {"", path};
    return {path.substr(0, dot), path.substr(dot + 1)};
  }

  /// The owner of what comes to that path, where nothing is yet.
  torch::jit::Module free_place(const std::string& path) {
    const auto [owner, name] = parted(path);
    torch::jit::Module place = module(owner);
    if (name.empty() || path.starts_with('.') || place.hasattr(name)) {
      throw ModelError(concat("is damaged: it has two things at '", shortened(path), "'"));
    }
    return place;
  }

  torch::jit::Module module(const std::string& path) {
    if (path.empty()) return object_;
    if (const auto known = modules_.find(path); known != modules_.end()) return known->second;
    if (std::count(path.begin(), path.end(), '.') > 64) throw ModelError("the program's names are too deep");
    const torch::jit::Module created("__torch__.exported_layer");
    free_place(path).register_module(parted(path).second, created);
    return modules_.emplace(path, created).first->second;
  }

  torch::jit::Module object_;
  std::map<std::string, torch::jit::Module> modules_;
  std::map<std::string, torch::jit::Value*> read_;
};

/// A tensor that a program takes besides its input.
struct HeldTensor {
  std::string value, path;  ///< its name in the graph, and in the model
  bool parameter;
};

/// What a specification of an input says of such a tensor; nothing if it is of another kind.
inline std::optional<HeldTensor> held_tensor(const Tagged& spec) {
  const auto of = [&spec](const char* name, bool parameter) {
    return HeldTensor{text(spec.value.at("arg").at("name")), text(spec.value.at(name)), parameter};
  };
  if (spec.kind == "parameter") return of("parameter_name", true);
  if (spec.kind == "buffer") return of("buffer_name", false);
  if (spec.kind == "tensor_constant") return of("tensor_constant_name", false);
  return std::nullopt;
}

/// Reads the tensors of one program.
class ExportedTensors {
 public:
  ExportedTensors(ExportArchive& archive, const std::string& program)
      : archive_(archive),
        weights_(archive.json(concat("data/weights/", program, "_weights_config.json")).at("config")),
        constants_(archive.json(concat("data/constants/", program, "_constants_config.json")).at("config")) {}

  /// The floating type that most weights have; without any, LibTorch's default.
  at::ScalarType dtype() const {
    const std::map<at::ScalarType, std::size_t> counts = floating_weights();
    const auto most = std::max_element(counts.begin(), counts.end(),
                                       [](const auto& a, const auto& b) { return a.second < b.second; });
    return most == counts.end() ? at::kFloat : most->first;
  }

  /// The placement without its type where all weights have it: then what the program computes in other types
  /// stays there, as in Python.
  Placement needed(Placement place) const {
    const std::map<at::ScalarType, std::size_t> counts = floating_weights();
    if (place.dtype && counts.size() == 1 && counts.contains(*place.dtype)) place.dtype = std::nullopt;
    return place;
  }

  /// Puts into an object all tensors that the program's inputs name; gives their paths by their names in the
  /// graph. It goes record by record, so that what is converted is not held twice.
  std::map<std::string, std::string> load(const Json& input_specs, const Placement& place,
                                          ExportedObject& object) {
    struct Load {
      HeldTensor held;
      std::string folder, record;
      const Json* entry;
      at::Tensor tensor{};
    };
    std::vector<Load> loads;
    for (const Json& input : input_specs) {
      const auto held = held_tensor(tagged(input));
      if (!held) continue;
      const bool weight = weights_.contains(held->path);
      if (!weight && !constants_.contains(held->path)) {
        throw ModelError(concat("is damaged: it has no values for '", shortened(held->path), "'"));
      }
      const Json& entry = (weight ? weights_ : constants_).at(held->path);
      const std::string folder = weight ? "data/weights/" : "data/constants/";
      loads.push_back({*held, folder, folder + text(entry.at("path_name")), &entry});
    }
    std::vector<Load*> by_record;
    by_record.reserve(loads.size());
    for (Load& load : loads) by_record.push_back(&load);
    std::stable_sort(by_record.begin(), by_record.end(),
                     [](const Load* a, const Load* b) { return a->record < b->record; });
    std::string record;
    for (Load* load : by_record) {
      if (load->record != record) {
        archive_.forget();
        record = load->record;
      }
      load->tensor = archive_.tensor(load->folder, *load->entry, place);
    }
    archive_.forget();
    std::map<std::string, std::string> paths;
    for (const Load& load : loads) {
      if (!paths.emplace(load.held.value, load.held.path).second) continue;
      object.add(load.held.path, load.tensor, load.held.parameter);
    }
    return paths;
  }

 private:
  /// How many weights there are of each floating type.
  std::map<at::ScalarType, std::size_t> floating_weights() const {
    std::map<at::ScalarType, std::size_t> counts;
    for (const auto& [name, entry] : weights_.items()) {
      if (entry.at("tensor_meta").is_null()) continue;
      const at::ScalarType dtype = exported_dtype(entry.at("tensor_meta").at("dtype"));
      if (at::isFloatingType(dtype)) ++counts[dtype];
    }
    return counts;
  }

  ExportArchive& archive_;
  Json weights_, constants_;
};

}  // namespace salience::detail
