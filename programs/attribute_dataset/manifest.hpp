// What is to be attributed: the pictures of a run, in their order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "options.hpp"

struct Sample {
  std::string name;            ///< as it is written in the manifest
  std::filesystem::path path;  ///< of the picture; a relative name belongs to the manifest's folder
  std::string target;          ///< "argmax", an index, or a label
  std::filesystem::path mask;  ///< empty if there is none
};

/// Keeps the manifest's text and where its records begin, so that ten million samples take no more memory
/// than their file and 8 bytes each.
///
/// A name ending in .csv is CSV (RFC 4180): path, target, mask, the last two of them optional, in that order
/// or in the order of a header line that names "path". Any other file has one picture in each line, and
/// after tabs its target and mask. Empty lines are passed over.
class Manifest {
 public:
  /// The pictures that the options name: those of --manifest, or all below --images, sorted, with the masks
  /// of the same name below --masks. Throws FileError if there are none, or if the CSV is none.
  explicit Manifest(const DatasetOptions& options);

  std::int64_t size() const { return static_cast<std::int64_t>(begins_.size()); }
  Sample operator[](std::int64_t index) const;

  /// Tells one manifest from another: the SHA-256 of its text.
  std::string fingerprint() const;

 private:
  std::string text_;
  bool csv_ = false;
  std::filesystem::path folder_, masks_;
  std::vector<std::size_t> begins_;
  std::vector<std::size_t> columns_{0, 1, 2};  ///< where path, target and mask stand
};
