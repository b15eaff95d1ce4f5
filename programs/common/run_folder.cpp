#include "run_folder.hpp"

#include <openssl/evp.h>
#include <torch/version.h>
#include <salience/file.hpp>

#include <array>
#include <optional>
#include <vector>

#include "network.hpp"

namespace sal = salience;
namespace fs = std::filesystem;

std::string sha256(std::span<const std::uint8_t> bytes) {
  std::array<std::uint8_t, 32> hash{};
  EVP_Digest(bytes.data(), bytes.size(), hash.data(), nullptr, EVP_sha256(), nullptr);
  std::string text;
  for (const std::uint8_t byte : hash) {
    constexpr std::string_view digits = "0123456789abcdef";
    text.append(1, digits[byte >> 4]).append(1, digits[byte & 15]);
  }
  return text;
}

std::string sha256_of_file(const fs::path& path) { return sha256(sal::read_file(path)); }

std::string absolute(const std::string& path) {
  return path.empty() ? path : fs::weakly_canonical(path).string();
}

namespace {

/// A number, or that each method takes its own.
nlohmann::json or_default(const std::optional<std::int64_t>& number) {
  return number ? nlohmann::json(*number) : nlohmann::json("default");
}

}  // namespace

nlohmann::json settings_json(const Settings& settings) {
  const std::string& baseline = settings.baseline;
  const bool path = baseline != "black" && baseline != "zero" && baseline != "mean" && baseline != "blur" &&
                    baseline != "inpaint";
  return {{"model", sha256_of_file(settings.model)},
          {"layer", settings.layers},
          {"size", {settings.height, settings.width}},
          {"mean", settings.mean},
          {"std", settings.std},
          {"dtype", settings.dtype},
          {"output-type", settings.output_type},
          {"entry", settings.entry},
          {"archived", settings.archived},
          {"bind", settings.bind},
          {"prepare", settings.prepare},
          {"device", device(settings).str()},
          {"seed", settings.seed},
          {"samples", or_default(settings.samples)},
          {"noise", settings.noise},
          {"steps", or_default(settings.steps)},
          {"baseline", path ? sha256_of_file(baseline) : baseline},
          {"tolerance", settings.tolerance},
          {"segments", fs::exists(settings.segments) ? sha256_of_file(settings.segments) : settings.segments},
          {"window", settings.window},
          {"stride", settings.stride},
          {"chunk", settings.chunk},
          {"libtorch", TORCH_VERSION}};
}

std::string text_of(const nlohmann::json& json) {
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

nlohmann::json read_json(const fs::path& path) {
  const std::vector<std::uint8_t> bytes = sal::read_file(path);
  nlohmann::json parsed = nlohmann::json::parse(bytes, nullptr, /*allow_exceptions=*/false);
  if (!parsed.is_object()) throw sal::FileError::at(path.string(), "is not what this program wrote");
  return parsed;
}

void claim_folder(const fs::path& folder, const std::string& results, const nlohmann::json& settings) {
  make_folder(folder / results);
  const fs::path file = folder / "settings.json";
  if (fs::is_empty(folder / results)) return sal::write_file_atomically(file, text_of(settings));
  if (!fs::exists(file)) {
    throw sal::FileError::at(file.string(), "is missing, though there are results; choose another --output");
  }
  const std::string other = difference(read_json(file), settings);
  if (!other.empty()) {
    throw sal::FileError::at(file.string(), "the results there are of another " + other +
                                                "; give it again, or choose another --output");
  }
}

std::string difference(const nlohmann::json& before, const nlohmann::json& now) {
  const auto shown = [](const nlohmann::json& value) {
    return value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  };
  for (const auto& [name, value] : now.items()) {
    const std::string old = shown(before.value(name, nlohmann::json())), mine = shown(value);
    if (old == mine) continue;
    if (value.is_object() && before.contains(name)) {
      return "--" + name + ": " + difference(before.at(name), value).substr(2);
    }
    constexpr std::size_t hash = 66;  // a SHA-256 in its quotes says nothing
    return "--" + name + (mine.size() == hash ? "" : " (" + old + ", now " + mine + ")");
  }
  return {};
}

std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + '"';
}
