#include "records.hpp"

#include <salience/file.hpp>

#include <array>
#include <charconv>
#include <cstdint>
#include <string_view>
#include <utility>

#include "../common/network.hpp"

namespace sal = salience;
namespace fs = std::filesystem;

namespace {

/// Tells one model's file from another (FNV-1a).
std::string fingerprint(const fs::path& path) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (const std::uint8_t byte : sal::read_file(path)) hash = (hash ^ byte) * 0x100000001b3U;
  return std::to_string(hash);
}

std::string absolute(const std::string& path) {
  return path.empty() ? path : fs::weakly_canonical(path).string();
}

/// Whatever a value in a record depends on, but its method's and metric's name.
nlohmann::json settings_of(const Options& options) {
  const bool path = options.baseline != "black" && options.baseline != "zero" && options.baseline != "blur";
  return {{"model", fingerprint(options.model)},
          {"images", absolute(options.images)},
          {"masks", absolute(options.masks)},
          {"sign", options.sign},
          {"layer", options.layers},
          {"size", {options.height, options.width}},
          {"mean", options.mean},
          {"std", options.std},
          {"dtype", options.dtype},
          {"prepare", options.prepare},
          {"device", device(options).str()},
          {"seed", options.seed},
          {"samples", options.samples},
          {"noise", options.noise},
          {"steps", options.steps},
          {"baseline", path ? fingerprint(options.baseline) : options.baseline},
          {"tolerance", options.tolerance}};
}

nlohmann::json read_json(const fs::path& path) {
  const std::vector<std::uint8_t> bytes = sal::read_file(path);
  nlohmann::json parsed = nlohmann::json::parse(bytes, nullptr, /*allow_exceptions=*/false);
  if (!parsed.is_object()) throw sal::FileError::at(path.string(), "is not what evaluate wrote");
  return parsed;
}

std::string text_of(const nlohmann::json& json) {
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

/// A field of a CSV file (RFC 4180).
std::string field(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + '"';
}

std::string digits(const nlohmann::json& value) {
  if (value.is_null()) return "nan";
  std::array<char, 32> text{};
  return {text.data(), std::to_chars(text.data(), text.data() + text.size(), value.get<double>()).ptr};
}

}  // namespace

Records::Records(fs::path folder, const Options& options) : folder_(std::move(folder)) {
  const nlohmann::json settings = settings_of(options);
  make_folder(folder_ / "images");
  const fs::path file = folder_ / "settings.json";
  if (!fs::exists(file)) {
    if (!fs::is_empty(folder_ / "images")) {
      throw sal::FileError::at(file.string(),
                               "is missing, though there are results; choose another --output");
    }
    sal::write_file_atomically(file, text_of(settings));
    return;
  }
  const nlohmann::json before = read_json(file);
  for (const auto& [name, value] : settings.items()) {
    const nlohmann::json old = before.value(name, nlohmann::json());
    if (old == value) continue;
    std::string what = "the results there are of another --" + name;
    if (name != "model") what += " (" + old.dump() + ", now " + value.dump() + ")";
    throw sal::FileError::at(file.string(), what + "; give it again, or choose another --output");
  }
}

Record Records::read(const std::string& image) const {
  return fs::exists(file(image)) ? read_json(file(image)) : Record();
}

void Records::write(const std::string& image, const Record& record) const {
  sal::write_file_atomically(file(image), text_of(record));
}

bool holds(const Record& record, const std::string& method, const std::vector<std::string>& metrics) {
  if (!record.contains("methods") || !record["methods"].contains(method)) return false;
  const nlohmann::json& known = record["methods"][method]["metrics"];
  for (const std::string& metric : metrics) {
    if (!known.contains(metric)) return false;
  }
  return true;
}

std::string csv(const std::vector<Record>& records, const Options& options) {
  std::string text = "image,method,metric,value\n";
  for (const Record& record : records) {
    const std::string image = field(record.at("image").get<std::string>());
    for (const std::string& method : options.methods) {
      const nlohmann::json& values = record.at("methods").at(method).at("metrics");
      for (const std::string& metric : options.metrics) {
        text.append(image).append(1, ',').append(method).append(1, ',').append(metric).append(1, ',');
        text.append(digits(values.at(metric))).append(1, '\n');
      }
    }
  }
  return text;
}
