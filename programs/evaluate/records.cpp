#include "records.hpp"

#include <salience/file.hpp>

#include <array>
#include <charconv>
#include <utility>

#include "../common/run_folder.hpp"

namespace sal = salience;
namespace fs = std::filesystem;

namespace {

/// Whatever a value in a record depends on, but its method's and metric's name.
nlohmann::json settings_of(const EvaluateOptions& options) {
  nlohmann::json settings = settings_json(options);
  settings["images"] = absolute(options.images);
  settings["masks"] = absolute(options.masks);
  settings["sign"] = options.sign;
  settings["seeds"] = options.seeds;
  return settings;
}

std::string digits(const nlohmann::json& value) {
  if (value.is_null()) return "nan";
  std::array<char, 32> text{};
  return {text.data(), std::to_chars(text.data(), text.data() + text.size(), value.get<double>()).ptr};
}

}  // namespace

Records::Records(fs::path folder, const EvaluateOptions& options) : folder_(std::move(folder)) {
  claim_folder(folder_, "images", settings_of(options));
}

Record Records::read(const std::string& image) const {
  return fs::exists(file(image)) ? read_json(file(image)) : Record();
}

void Records::write(const std::string& image, const Record& record) const {
  sal::write_file_atomically(file(image), text_of(record));
}

bool holds(const Record& record, const std::string& method, const EvaluateOptions& options) {
  if (!record.contains("methods") || !record["methods"].contains(method)) return false;
  const nlohmann::json& known = record["methods"][method];
  for (const std::string& metric : options.metrics) {
    if (!known["metrics"].contains(metric)) return false;
  }
  return !with_seeds(options, method) || known.contains("stability");
}

std::string csv(const std::vector<Record>& records, const EvaluateOptions& options) {
  std::string text = "image,method,metric,value\n";
  for (const Record& record : records) {
    const std::string image = csv_field(record.at("image").get<std::string>());
    for (const std::string& method : options.methods) {
      const auto row = [&](const std::string& metric, const nlohmann::json& value) {
        text.append(image).append(1, ',').append(method).append(1, ',').append(metric).append(1, ',');
        text.append(digits(value)).append(1, '\n');
      };
      const nlohmann::json& known = record.at("methods").at(method);
      for (const std::string& metric : options.metrics) row(metric, known.at("metrics").at(metric));
      if (!with_seeds(options, method)) continue;
      for (const char* figure : {"stability", "error_ratio"}) row(figure, known.at(figure));
    }
  }
  return text;
}
