// The records of a torch.export archive: programs as JSON, and tensors.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <tuple>
#include <utility>
#include <vector>

#include <caffe2/serialize/inline_container.h>
#include <torch/script.h>
#include <nlohmann/json.hpp>

#include <salience/error.hpp>
#include <salience/file.hpp>
#include <salience/graph/model_file.hpp>
#include <salience/graph/object_copy.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience::detail {

using Json = nlohmann::json;

/// A JSON number that is an integer and fits. nlohmann's own conversions cut off what does not.
inline std::int64_t integer(const Json& value) {
  constexpr auto largest = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (!value.is_number_integer() || (value.is_number_unsigned() && value.get<std::uint64_t>() > largest)) {
    throw ModelError(concat("the program has ", shortened(value.dump()), " where it needs an integer"));
  }
  return value.get<std::int64_t>();
}

inline const std::string& text(const Json& value) {
  if (!value.is_string()) {
    throw ModelError(concat("the program has ", shortened(value.dump()), " where it needs a text"));
  }
  return value.get_ref<const std::string&>();
}

/// A text as JSON. Values are copied and printed by recursion, so one that is nested deeper than any program
/// is refused.
inline Json parsed_json(std::string_view text) {
  constexpr int deepest = 512;
  int depth = 0;
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted && c == '\\') {
      ++i;
    } else if (c == '"') {
      quoted = !quoted;
    } else if (!quoted && (c == '[' || c == '{')) {
      if (++depth > deepest) throw ModelError("the program is nested beyond reason");
    } else if (!quoted && (c == ']' || c == '}')) {
      --depth;
    }
  }
  return Json::parse(text);
}

/// What stands for one of several kinds of things: {"as_int": 3}.
struct Tagged {
  const std::string& kind;
  const Json& value;
};

inline Tagged tagged(const Json& object) {
  if (!object.is_object() || object.size() != 1) {
    throw ModelError(concat("the program has ", shortened(object.dump()), " where it needs one argument"));
  }
  return {object.begin().key(), object.begin().value()};
}

/// Tensor types by their numbers in the file (torch/_export/serde/schema.py).
inline at::ScalarType exported_dtype(const Json& value) {
  constexpr std::array<std::optional<at::ScalarType>, 14> types{
      std::nullopt,      at::kByte,          at::kChar,  at::kShort,   at::kInt,
      at::kLong,         at::kHalf,          at::kFloat, at::kDouble,  at::kComplexHalf,
      at::kComplexFloat, at::kComplexDouble, at::kBool,  at::kBFloat16};
  const std::int64_t code = integer(value);
  if (code < 0 || std::cmp_greater_equal(code, types.size()) || !types[static_cast<std::size_t>(code)]) {
    throw ModelError(concat("the program has tensors of a type that is not known here (number ", code, ")"));
  }
  return *types[static_cast<std::size_t>(code)];
}

/// How a tensor lies in a record.
struct TensorPlan {
  at::ScalarType dtype;
  std::vector<std::int64_t> sizes, strides;
  std::int64_t offset;

  bool operator<(const TensorPlan& other) const {
    return std::tie(dtype, sizes, strides, offset) <
           std::tie(other.dtype, other.sizes, other.strides, other.offset);
  }
};

inline std::int64_t fixed_size(const Json& size) {
  const Tagged one = tagged(size);
  if (one.kind != "as_int") throw ModelError("the program stores a tensor whose size is not a number");
  return integer(one.value);
}

inline TensorPlan tensor_plan(const Json& meta) {
  constexpr std::int64_t strided = 7;
  if (integer(meta.at("layout")) != strided)
    throw ModelError("the program stores a tensor that is not dense");
  TensorPlan plan{exported_dtype(meta.at("dtype")), {}, {}, fixed_size(meta.at("storage_offset"))};
  for (const Json& size : meta.at("sizes")) plan.sizes.push_back(fixed_size(size));
  for (const Json& stride : meta.at("strides")) plan.strides.push_back(fixed_size(stride));
  return plan;
}

/// How many elements a record must have for this tensor; nothing if its numbers make no sense.
inline std::optional<std::uint64_t> needed_elements(const TensorPlan& plan) {
  const auto negative = [](std::int64_t value) { return value < 0; };
  if (plan.sizes.size() != plan.strides.size() || plan.sizes.size() > 64 || plan.offset < 0 ||
      std::any_of(plan.sizes.begin(), plan.sizes.end(), negative) ||
      std::any_of(plan.strides.begin(), plan.strides.end(), negative)) {
    return std::nullopt;
  }
  const bool empty = std::find(plan.sizes.begin(), plan.sizes.end(), 0) != plan.sizes.end();
  const auto offset = static_cast<std::uint64_t>(plan.offset);
  std::uint64_t last = offset, elements = 1;
  for (std::size_t i = 0; i < plan.sizes.size(); ++i) {
    if (plan.sizes[i] == 0) continue;  // the others must make sense too: LibTorch multiplies them
    const auto size = static_cast<std::uint64_t>(plan.sizes[i]);
    const auto stride = static_cast<std::uint64_t>(plan.strides[i]);
    constexpr auto most = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    if (size > most / elements || (stride > 0 && size - 1 > (most - last) / stride)) return std::nullopt;
    elements *= size;
    last += (size - 1) * stride;
  }
  return empty ? offset : last + 1;
}

/// An archive that torch.export.save wrote. Nothing of it is run. Throws ModelError for what is wrong with
/// it.
class ExportArchive {
 public:
  explicit ExportArchive(const std::filesystem::path& path) {
    std::error_code error;
    size_ = std::filesystem::file_size(path, error);
    if (error || !are_honest(zip_file_entries(path), size_)) {
      throw ModelError(
          "is not what torch.export.save writes: a record is packed or claims more than the file has");
    }
    try {
      reader_ = std::make_unique<caffe2::serialize::PyTorchStreamReader>(path.string());
    } catch (const std::exception& failure) {  // not all are c10::Error
      std::throw_with_nested(ModelError(concat("is no archive that LibTorch reads: ", first_cause(failure))));
    }
    if (has("byteorder") && record("byteorder").text() != "little") {
      throw ModelError("was written on a big-endian machine; save it on a little-endian one");
    }
  }

  /// The models in the archive.
  std::vector<std::string> models() const {
    constexpr std::string_view folder = "models/", ending = ".json";
    std::vector<std::string> names;
    for (const std::string& name : reader_->getAllRecords()) {
      if (!name.starts_with(folder) || !name.ends_with(ending)) continue;
      names.push_back(name.substr(folder.size(), name.size() - folder.size() - ending.size()));
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  Json json(const std::string& name) const {
    const Record bytes = record(name);
    return parsed_json(bytes.text());
  }

  /// A tensor of a folder ("data/weights/") as a payload's entry describes it, where and in which type
  /// `place` says. Between two calls of `forget` tensors of one record share memory, also when they are
  /// converted, and equal entries are one tensor.
  at::Tensor tensor(const std::string& folder, const Json& entry, const Placement& place) {
    if (entry.at("use_pickle").get<bool>()) {
      throw ModelError("holds a Python pickle (a tensor subclass or a custom object), which is not read");
    }
    const std::string name = folder + text(entry.at("path_name"));
    const TensorPlan plan = tensor_plan(entry.at("tensor_meta"));
    const auto elements = needed_elements(plan);
    Stored& stored = stored_[name];
    if (!stored.bytes.defined()) stored.bytes = record(name).tensor();
    const std::int64_t held = stored.bytes.numel() / static_cast<std::int64_t>(c10::elementSize(plan.dtype));
    if (!elements || std::cmp_greater(*elements, held)) {
      throw ModelError(
          concat("is damaged: a tensor reaches beyond its values in the record ", shortened(name)));
    }
    at::Tensor& tensor = stored.tensors[plan];
    if (!tensor.defined()) {
      allow_expanded(c10::multiply_integers(plan.sizes), held, name);
      at::Tensor& values = stored.values[plan.dtype];
      if (!values.defined()) {
        values = place(at::empty({0}, at::TensorOptions().dtype(plan.dtype))
                           .set_(stored.bytes.storage(), 0, {held}, {1}));
      }
      tensor = at::empty({0}, values.options()).set_(values.storage(), plan.offset, plan.sizes, plan.strides);
    }
    return tensor;
  }

  /// Lets go of all records, whose memory lives on in the tensors that were made of them.
  void forget() { stored_.clear(); }

 private:
  struct Record {
    at::DataPtr data;
    std::size_t size;

    std::string_view text() const { return {static_cast<const char*>(data.get()), size}; }
    at::Tensor tensor() && {
      auto owner = std::make_shared<at::DataPtr>(std::move(data));
      void* const values = owner->get();
      return at::from_blob(
          values, {static_cast<std::int64_t>(size)}, [owner](void*) {}, at::TensorOptions().dtype(at::kByte));
    }
  };
  struct Stored {
    at::Tensor bytes;
    std::map<at::ScalarType, at::Tensor> values;  ///< all of them, placed, by the type that they stand for
    std::map<TensorPlan, at::Tensor> tensors;
  };

  /// Fails for tensors that are expanded from fewer values than any model needs: what computes with one
  /// may take as much memory as the file's author likes.
  void allow_expanded(std::int64_t elements, std::int64_t held, const std::string& name) {
    constexpr std::int64_t most = 1 << 24;
    if (elements <= held) return;
    if (elements > most - expanded_) {
      throw ModelError(concat("has a tensor that is expanded beyond reason in the record ", shortened(name)));
    }
    expanded_ += elements;
  }

  bool has(const std::string& name) const { return reader_->hasRecord(name); }

  Record record(const std::string& name) const {
    if (!has(name)) throw ModelError(concat("is damaged: it has no record ", shortened(name)));
    if (reader_->getRecordSize(name) > size_) {  // LibTorch might read the archive in another way than we do
      throw ModelError(concat("is damaged: the record ", shortened(name), " claims more than the file has"));
    }
    auto [data, size] = reader_->getRecord(name);
    return {std::move(data), size};
  }

  std::uintmax_t size_;
  std::int64_t expanded_ = 0;
  std::unique_ptr<caffe2::serialize::PyTorchStreamReader> reader_;
  std::map<std::string, Stored> stored_;
};

}  // namespace salience::detail
