// What is known of each picture, kept in one file each, so that a run that was stopped can go on.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "options.hpp"

/// Of one picture: {"image", "class", "methods": {NAME: {"seconds", "forward_seconds", "metrics": {NAME:
/// value or null}, "curves": {NAME: {"fraction", "score"}}, "stability", "error_ratio"}}, "example":
/// {"input", "maps": {NAME: URI}}}; the last of the first pictures alone, and the two before it, a value or
/// null, of methods with several seeds alone.
using Record = nlohmann::json;

/// A folder of results.
class Records {
 public:
  /// Makes the folder, or takes up what is there. Throws FileError if that was made with other settings, or
  /// if it cannot be written.
  Records(std::filesystem::path folder, const EvaluateOptions& options);

  /// The picture's record; empty if there is none yet.
  Record read(const std::string& image) const;

  /// In one step, so that there is a whole record or none.
  void write(const std::string& image, const Record& record) const;

 private:
  std::filesystem::path file(const std::string& image) const {
    return folder_ / "images" / (image + ".json");
  }

  std::filesystem::path folder_;
};

/// Does the record hold all of the method's metrics, and its stability where it has one?
bool holds(const Record& record, const std::string& method, const EvaluateOptions& options);

/// image,method,metric,value in the order of the records, with as many digits as a double has; nan where a
/// metric has no value. The last metrics of a method with several seeds are stability and error_ratio.
std::string csv(const std::vector<Record>& records, const EvaluateOptions& options);
