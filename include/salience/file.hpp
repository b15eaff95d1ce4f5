// Reading and writing whole files, with one clear sentence for whatever goes wrong.
#pragma once

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <salience/error.hpp>

namespace salience {

namespace detail {

inline FileError file_error(const std::filesystem::path& path, std::string_view what) {
  return FileError::at(path.string(), what);
}

/// `what`, and after a colon what the operating system said (an errno value; 0 adds nothing).
inline FileError file_error(const std::filesystem::path& path, std::string_view what, int error) {
  return error == 0 ? file_error(path, what)
                    : file_error(path, concat(what, ": ", std::generic_category().message(error)));
}

/// Opens a regular file. Throws FileError for anything else: a pipe could block for ever, a device never end.
inline std::ifstream open_file(const std::filesystem::path& path) {
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::status(path, error);
  if (status.type() == std::filesystem::file_type::not_found) throw file_error(path, "there is no such file");
  if (error) throw file_error(path, "cannot be read", error.value());
  if (is_directory(status)) throw file_error(path, "is a directory, not a file");
  if (!is_regular_file(status)) throw file_error(path, "is not a regular file");

  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file) throw file_error(path, "cannot be opened", errno);
  return file;
}

/// The first bytes of a regular file, at most `count`.
inline std::string read_head(const std::filesystem::path& path, std::size_t count) {
  std::ifstream file = open_file(path);
  std::string head(count, '\0');
  file.read(head.data(), static_cast<std::streamsize>(count));
  head.resize(static_cast<std::size_t>(file.gcount()));
  return head;
}

}  // namespace detail

/// All bytes of a regular file. Throws FileError if it cannot be read.
inline std::vector<std::uint8_t> read_file(const std::filesystem::path& path) {
  std::ifstream file = detail::open_file(path);
  constexpr std::size_t chunk = 1 << 16;
  std::vector<std::uint8_t> bytes;
  std::error_code error;
  const std::uintmax_t size = std::filesystem::file_size(path, error);
  if (!error) bytes.reserve(static_cast<std::size_t>(size) + chunk);
  while (file) {  // the size is only a hint: files in /proc say 0, and a file may have changed since
    const std::size_t done = bytes.size();
    bytes.resize(done + chunk);
    file.read(reinterpret_cast<char*>(bytes.data() + done), chunk);
    bytes.resize(done + static_cast<std::size_t>(file.gcount()));
  }
  if (file.bad()) throw detail::file_error(path, "cannot be read", errno);
  return bytes;
}

/// Writes the file atomically: the bytes go to a temporary file in the same folder, which is then renamed. A
/// reader never sees a part of the file; a failure leaves an older file unchanged and no temporary one. A
/// symbolic link remains, and its target is replaced. The permissions are those of any new file (0666 less
/// the umask).
///
/// A process that is killed during the write leaves the older file and the temporary one, `.salience-*.tmp`.
/// No later write removes the latter, since it may belong to a process that is still writing: delete such
/// files when they are old. Nothing is synchronised to the disk, so a power failure may lose the file.
///
/// Throws FileError if the folder is missing or not writable, if the name belongs to something that is not a
/// regular file, or if the disk is full.
inline void write_file_atomically(const std::filesystem::path& path, std::span<const std::uint8_t> bytes) {
  namespace fs = std::filesystem;
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (is_directory(status)) throw detail::file_error(path, "cannot be written: it is a directory");
  if (exists(status) && !is_regular_file(status)) {
    throw detail::file_error(path, "cannot be written: it is not a regular file");
  }
  if (!path.has_filename()) throw detail::file_error(path, "cannot be written: it has no file name");
  error.clear();
  const fs::path target = exists(status) ? fs::canonical(path, error) : path;
  if (error) throw detail::file_error(path, "cannot be written", error.value());
  const fs::path folder = target.has_parent_path() ? target.parent_path() : fs::path(".");
  if (!is_directory(fs::status(folder, error))) {
    throw detail::file_error(path, detail::concat("cannot be written: there is no folder ", folder.string()));
  }

  // Random bits keep processes apart, the counter the calls of one process.
  static std::atomic<std::uint64_t> calls = 0;
  std::random_device random;
  const std::string name = detail::concat(".salience-", std::hex, random(), random(), "-", calls++, ".tmp");
  const fs::path temporary = folder / name;
  struct Remover {
    const fs::path& path;
    bool active = true;
    ~Remover() {
      std::error_code ignored;
      if (active) fs::remove(path, ignored);
    }
  } remover{temporary};

  errno = 0;
  std::ofstream file(temporary, std::ios::binary | std::ios::trunc);
  file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  file.close();
  if (!file) throw detail::file_error(path, "cannot be written", errno);
  fs::rename(temporary, target, error);
  if (error) throw detail::file_error(path, "cannot be written", error.value());
  remover.active = false;
}

/// The same with a text's bytes.
inline void write_file_atomically(const std::filesystem::path& path, std::string_view text) {
  write_file_atomically(path, std::span(reinterpret_cast<const std::uint8_t*>(text.data()), text.size()));
}

}  // namespace salience
