// A folder for the files of one test.
#pragma once

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <string>

/// A new folder that is removed at the end.
struct TemporaryFolder {
  std::filesystem::path path = [] {
    std::string name = (std::filesystem::temp_directory_path() / "salience test \xc3\xbc XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    return std::filesystem::path(name);
  }();
  TemporaryFolder() = default;
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() { std::filesystem::remove_all(path); }

  std::size_t files() const {
    std::size_t count = 0;
    for (const std::filesystem::directory_entry& entry : std::filesystem::directory_iterator(path))
      count += entry.exists();
    return count;
  }
};
