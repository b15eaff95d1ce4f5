// Any bytes are a torch.export program or a FileError; a program that was loaded runs or is a ModelError.
//
// An input is an archive as one JSON object (see make_exported_corpus.py): its members are the records. Other
// bytes are the archive itself. The mutator changes the JSON as such: it copies, drops, doubles and swaps
// parts and puts in numbers that are hard to deal with.
#include <salience/model/exported_model.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <caffe2/serialize/inline_container.h>
#include <nlohmann/json.hpp>

#include "memory_file.hpp"

namespace {

using Json = nlohmann::json;

/// The bytes of which each is a character of this text.
std::string bytes_of(const std::string& text) {
  std::string bytes;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const bool two = (byte == 0xc2 || byte == 0xc3) && i + 1 < text.size();
    bytes += two ? static_cast<char>((byte << 6) | (text[++i] & 0x3f)) : text[i];
  }
  return bytes;
}

/// The bytes of the archive that this JSON stands for; none if no archive can have such records.
std::string archive_of(Json records) {
  std::string archive;
  try {
    caffe2::serialize::PyTorchStreamWriter writer([&archive](const void* bytes, std::size_t size) {
      archive.append(static_cast<const char*>(bytes), size);
      return size;
    });
    for (auto& [name, record] : records.items()) {
      if (record.is_object() && record.contains("graph_module") && record["graph_module"].is_object()) {
        Json& calls = record["graph_module"]["module_call_graph"];
        for (Json& call : calls) {  // stand as JSON in a string
          if (!call.is_object() || !call["signature"].is_object()) continue;
          Json& tree = call["signature"]["out_spec"];
          if (!tree.is_string()) tree = tree.dump();
        }
      }
      const std::string bytes = record.is_string() ? bytes_of(record.get<std::string>()) : record.dump();
      writer.writeRecord(name, bytes.data(), bytes.size());
    }
    writer.writeEndOfFile();
  } catch (const c10::Error&) {
    return "";
  }
  return archive;
}

/// All values in it.
void collect(Json& value, std::vector<Json*>& values, int depth = 0) {
  values.push_back(&value);
  if (depth == 100 || !value.is_structured()) return;
  for (Json& inner : value) collect(inner, values, depth + 1);
}

/// Whether LibTorch's own kernels can be trusted with all that this program asks for.
bool is_tame(Json& records) {
  constexpr std::array<const char*, 26> known{"torch.ops.aten.relu.default",
                                              "torch.ops.aten.relu_.default",
                                              "torch.ops.aten.add.Tensor",
                                              "torch.ops.aten.add_.Tensor",
                                              "torch.ops.aten.mul.Tensor",
                                              "torch.ops.aten.sin.default",
                                              "torch.ops.aten.linear.default",
                                              "torch.ops.aten.matmul.default",
                                              "torch.ops.aten.flatten.using_ints",
                                              "torch.ops.aten.view.default",
                                              "torch.ops.aten.mean.dim",
                                              "torch.ops.aten.sum.default",
                                              "torch.ops.aten.sum.dim_IntList",
                                              "torch.ops.aten.transpose.int",
                                              "torch.ops.aten.gt.Scalar",
                                              "torch.ops.aten.lift_fresh_copy.default",
                                              "torch.ops.aten.detach_.default",
                                              "torch.ops.aten.sym_size.int",
                                              "torch.ops.aten.batch_norm.default",
                                              "torch.ops.aten.dropout.default",
                                              "torch.ops.aten.conv2d.default",
                                              "torch.ops.aten.to.dtype",
                                              "torch.ops.higher_order.cond",
                                              "torch.ops.higher_order.wrap_with_set_grad_enabled",
                                              "torch.ops.higher_order.wrap_with_autocast",
                                              "torch.ops.aten.clamp.default"};
  std::vector<Json*> values;
  collect(records, values);
  return std::all_of(values.begin(), values.end(), [&](const Json* value) {
    if (value->is_number()) return value->get<double>() >= -9 && value->get<double>() <= 16;
    if (!value->is_object() || !value->contains("target")) return true;
    const Json& target = (*value)["target"];
    return target.is_string() &&
           (target.get<std::string>().starts_with("_operator.") ||
            std::find(known.begin(), known.end(), target.get<std::string>()) != known.end());
  });
}

/// Runs the model on one or three samples, and taps its layers. It may fail, in our words.
void run(const salience::GraphModel& model) {
  std::vector<std::int64_t> sizes;
  for (const auto& size : model.input_sizes()) sizes.push_back(size ? *size : 2);
  if (sizes.empty()) sizes = {2, 2};
  if (std::any_of(sizes.begin(), sizes.end(), [](std::int64_t size) { return size < 0 || size > 8; })) return;
  if (sizes.size() > 5) return;
  sizes[0] = 3;
  const at::Tensor input = salience::detail::empty(sizes, at::kFloat).fill_(0.5);
  try {
    model(input);
    for (const salience::Layer& layer : model.layers(input)) {
      const std::array<std::string, 1> names{layer.path};
      const salience::Tapped tapped = model.tapped(input.narrow(0, 0, 1), names);
      if (tapped.layers.size() != 1) std::abort();
    }
  } catch (const salience::ModelError&) {
  } catch (const salience::ArgumentError&) {
  }
}

/// A number that is hard to deal with, or a small one.
Json number(std::minstd_rand& chance) {
  using Limits = std::numeric_limits<std::int64_t>;
  static const std::array<Json, 14> numbers{-1,
                                            0,
                                            1,
                                            2,
                                            3,
                                            7,
                                            64,
                                            1.5,
                                            Limits::max(),
                                            Limits::min(),
                                            std::int64_t{1} << 31,
                                            std::int64_t{1} << 40,
                                            std::numeric_limits<std::uint64_t>::max(),
                                            "NaN"};
  return numbers[chance() % numbers.size()];
}

void change(Json& whole, std::minstd_rand& chance) {
  std::vector<Json*> values;
  collect(whole, values);
  Json& value = *values[chance() % values.size()];
  const Json& other = *values[chance() % values.size()];
  const auto place = [&chance](const Json& container) {
    return static_cast<std::ptrdiff_t>(chance() % container.size());
  };
  switch (chance() % 7 + 1) {
    case 1:
      if (value.is_object() && !value.empty()) value.erase(std::next(value.begin(), place(value)));
      if (value.is_array() && !value.empty()) value.erase(value.begin() + place(value));
      break;
    case 2:
      if (value.is_array() && !value.empty())
        value.push_back(Json(value[static_cast<std::size_t>(place(value))]));
      break;
    case 3:
      if (value.is_array() && !value.empty()) {
        std::swap(value[static_cast<std::size_t>(place(value))],
                  value[static_cast<std::size_t>(place(value))]);
      }
      break;
    case 4:
      if (value.is_object() && !value.empty() && other.is_object() &&
          !other.empty()) {  // another kind of the same
        const auto from = std::next(value.begin(), place(value));
        const std::string key = std::next(other.begin(), place(other)).key();
        const Json moved = from.value();
        value.erase(from);
        value[key] = moved;
      }
      break;
    case 5:
      if (value.is_primitive()) value = number(chance);
      break;
    case 6:
      if (value.type() == other.type() && &value != &whole) value = Json(other);
      break;
    default:
      if (&value != &whole && other.dump(-1, ' ', false, Json::error_handler_t::replace).size() < 2000)
        value = Json(other);
  }
}

}  // namespace

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned int seed) {
  std::minstd_rand chance(seed);
  Json records = Json::parse(data, data + size, nullptr, /*allow_exceptions=*/false);
  if (!records.is_object() || chance() % 16 == 0) return LLVMFuzzerMutate(data, size, max_size);
  if (chance() % 256 == 0) {  // go on with the archive's own bytes
    const std::string archive = archive_of(records);
    if (!archive.empty() && archive.size() <= max_size) {
      std::memcpy(data, archive.data(), archive.size());
      return archive.size();
    }
  }
  for (auto changes = 1 + chance() % 3; changes > 0; --changes) change(records, chance);
  const std::string text = records.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (text.size() > max_size) return LLVMFuzzerMutate(data, size, max_size);
  std::memcpy(data, text.data(), text.size());
  return text.size();
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static MemoryFile file;
  c10::WarningUtils::set_warnAlways(false);
  const Json records = Json::parse(data, data + size, nullptr, /*allow_exceptions=*/false);
  std::string archive(reinterpret_cast<const char*>(data), size);
  if (records.is_object()) archive = archive_of(records);
  file.write(archive);
  try {
    const salience::ModelOptions options{.dtype = size % 4 == 0 ? std::optional(at::kDouble) : std::nullopt};
    const salience::ExportedModel model = salience::ExportedModel::load(file.path(), options);
    static_cast<void>(model.layers());
    Json copy = records;
    if (size % 3 != 0 || !records.is_object() || !is_tame(copy)) return 0;  // slower than all before
    run(model);
    run(salience::ExportedModel::load(file.path(),
                                      {.dtype = at::kFloat, .prepare = salience::Prepare::fast}));
  } catch (const salience::FileError&) {
  }
  return 0;
}
