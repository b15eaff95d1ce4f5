#include "manifest.hpp"

#include <salience/file.hpp>

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <utility>

#include "../common/pictures.hpp"
#include "../common/run_folder.hpp"

namespace sal = salience;
namespace fs = std::filesystem;

namespace {

/// Reads one record of a text; `next` is then where the following one begins. Nothing if a quoted field does
/// not end, or goes on behind its quote.
std::optional<std::vector<std::string>> record(std::string_view text, bool csv, std::size_t& next) {
  std::vector<std::string> fields(1);
  const char separator = csv ? ',' : '\t';
  for (std::size_t i = next; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\n') {
      next = i + 1;
      return fields;
    }
    if (csv && c == '"' && fields.back().empty()) {
      for (++i; i < text.size() && (text[i] != '"' || text.substr(i, 2) == "\"\""); ++i) {
        fields.back() += text[i];
        if (text[i] == '"') ++i;
      }
      const std::string_view rest = text.substr(std::min(i + 1, text.size()));
      if (i == text.size() ||
          !(rest.empty() || rest[0] == ',' || rest[0] == '\n' || rest.starts_with("\r\n"))) {
        return {};
      }
    } else if (c == separator) {
      fields.emplace_back();
    } else if (c != '\r' || text.substr(i, 2) != "\r\n") {
      fields.back() += c;
    }
  }
  next = text.size();
  return fields;
}

/// The names of all pictures below a folder, sorted, but those below `output`. A folder that links lead to
/// twice is looked through once.
std::vector<std::string> pictures_below(const fs::path& folder, const fs::path& output) {
  std::error_code error;
  std::set<fs::path> seen{fs::weakly_canonical(folder), fs::weakly_canonical(output)};
  fs::recursive_directory_iterator files(folder, fs::directory_options::follow_directory_symlink, error);
  std::vector<std::string> names;
  for (; !error && files != fs::recursive_directory_iterator(); files.increment(error)) {
    if (files->is_directory()) {
      if (!seen.insert(fs::weakly_canonical(files->path())).second) files.disable_recursion_pending();
      continue;
    }
    if (!is_picture(files->path())) continue;
    names.push_back(files->path().lexically_relative(folder).string());
    if (names.back().find_first_of("\t\n") != std::string::npos) {
      throw sal::FileError::at(files->path().string(), "has a tab or a line break in its name; rename it");
    }
  }
  if (error) throw sal::FileError::at(folder.string(), "is no folder that can be read: " + error.message());
  if (names.empty()) throw sal::FileError::at(folder.string(), "there are no pictures in it");
  std::ranges::sort(names);
  return names;
}

/// Where path, target and mask stand in a header line; nothing if the line is none.
std::optional<std::vector<std::size_t>> columns_of(std::vector<std::string> header, const std::string& file) {
  for (std::string& name : header) name = lower(name);
  if (std::ranges::find(header, "path") == header.end()) return {};
  constexpr std::array known{"path", "target", "mask"};
  for (const std::string& name : header) {
    if (std::ranges::find(known, name) == known.end()) {
      throw sal::FileError::at(file,
                               "the header names a column '" + name + "'; known are path, target, mask");
    }
  }
  std::vector<std::size_t> columns;
  for (const char* name : known) {
    columns.push_back(static_cast<std::size_t>(std::ranges::find(header, name) - header.begin()));
  }
  return columns;
}

}  // namespace

Manifest::Manifest(const DatasetOptions& options) : masks_(options.masks) {
  if (!options.masks.empty() && !fs::is_directory(masks_)) {
    throw sal::FileError::at(options.masks, "is no folder");
  }
  if (options.manifest.empty()) {
    folder_ = options.images;
    for (const std::string& name : pictures_below(folder_, options.output)) text_ += name + '\n';
  } else {
    const fs::path file = options.manifest;
    folder_ = file.parent_path();
    csv_ = lower(file.extension().string()) == ".csv";
    const std::vector<std::uint8_t> bytes = sal::read_file(file);
    text_.assign(bytes.begin(), bytes.end());
  }
  for (std::size_t next = text_.starts_with("\xef\xbb\xbf") ? 3 : 0; next < text_.size();) {
    const std::size_t begin = next;
    const auto found = record(text_, csv_, next);
    if (!found) {
      const auto line =
          1 + std::count(text_.begin(), text_.begin() + static_cast<std::ptrdiff_t>(begin), '\n');
      throw sal::FileError::at(options.manifest,
                               "the quoted field in line " + std::to_string(line) + " does not end");
    }
    if (csv_ && begins_.empty()) {
      if (const auto columns = columns_of(*found, options.manifest)) {
        columns_ = *columns;
        continue;
      }
    }
    if (columns_[0] < found->size() && !(*found)[columns_[0]].empty()) begins_.push_back(begin);
  }
  if (begins_.empty()) throw sal::FileError::at(options.manifest, "there are no pictures in it");
}

Sample Manifest::operator[](std::int64_t index) const {
  std::size_t begin = begins_[static_cast<std::size_t>(index)];
  const std::vector<std::string> fields = record(text_, csv_, begin).value();
  const auto field = [&](std::size_t which) {
    return columns_[which] < fields.size() ? fields[columns_[which]] : std::string();
  };
  Sample sample{.name = field(0), .path = folder_ / field(0), .target = field(1), .mask = {}};
  if (sample.target.empty()) sample.target = "argmax";
  if (const std::string mask = field(2); !mask.empty()) {
    sample.mask = folder_ / mask;
  } else {
    sample.mask = mask_of(masks_, sample.name);
  }
  return sample;
}

std::string Manifest::fingerprint() const {
  return sha256(std::span(reinterpret_cast<const std::uint8_t*>(text_.data()), text_.size()));
}
