// A process that is killed while it writes a picture over an older one, and a disk that is full.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include <salience/error.hpp>
#include <salience/file.hpp>
#include <salience/picture/image_io.hpp>

#include <sys/wait.h>
#include <unistd.h>
#if defined(__linux__)
#include <sched.h>
#include <sys/mount.h>
#endif

#include "temporary_folder.hpp"

namespace fs = std::filesystem;
using salience::Image;

namespace {

Image filled(std::uint8_t value, int side) {
  return {side, side, 3, std::vector<std::uint8_t>(static_cast<std::size_t>(side * side * 3), value)};
}

/// Runs `work` in a process of its own; its exit status is what `work` returns.
template <class Work>
pid_t start(const Work& work) {
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    std::signal(SIGTERM, SIG_DFL);  // doctest's own handler reports it
    _exit(work());
  }
  return child;
}

int status_of(pid_t child) {
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  return status;
}

}  // namespace

TEST_CASE("after a signal the file is the older picture or the newer one") {
  std::array<std::vector<std::uint8_t>, 3> pictures;
  for (std::size_t i = 0; i < pictures.size(); ++i) {
    pictures[i] = encode_image(filled(static_cast<std::uint8_t>(80 * i), 600 + static_cast<int>(i)), ".bmp");
  }
  for (const int signal : {SIGTERM, SIGKILL}) {
    CAPTURE(signal);
    const TemporaryFolder folder;
    const fs::path path = folder.path / "x.bmp";
    std::array<int, 2> ready{};
    REQUIRE(pipe(ready.data()) == 0);
    salience::write_file_atomically(path, pictures[0]);  // what save_image does with the encoded picture
    int within_a_write = 0;
    for (int trial = 0; trial < 120; ++trial) {
      const std::size_t files = folder.files();
      const pid_t child = start([&] {
        if (write(ready[1], "", 1) != 1) return 1;
        for (std::size_t i = 0;; ++i) salience::write_file_atomically(path, pictures[i % pictures.size()]);
      });
      char byte = 0;
      REQUIRE(read(ready[0], &byte, 1) == 1);
      std::this_thread::sleep_for(std::chrono::microseconds(97 * trial));
      REQUIRE(kill(child, signal) == 0);
      const int status = status_of(child);
      REQUIRE(WIFSIGNALED(status));
      CHECK(WTERMSIG(status) == signal);
      CHECK(std::count(pictures.begin(), pictures.end(), salience::read_file(path)) == 1);
      CHECK(folder.files() - files <= 1);  // the temporary file of the write that was interrupted, if one was
      within_a_write += folder.files() > files;
    }
    MESSAGE("of 120 signals ", signal, ", ", within_a_write, " came within a write");
    CHECK(within_a_write > 0);
    for (const int end : ready) close(end);
    for (const fs::directory_entry& entry : fs::directory_iterator(folder.path)) {
      const std::string name = entry.path().filename().string();
      CHECK((name == "x.bmp" || (name.starts_with(".salience-") && name.ends_with(".tmp"))));
    }
  }
}

#if defined(__linux__)
TEST_CASE("a full disk leaves the older picture and no other file") {
  const TemporaryFolder folder;
  enum Result { passed, no_mount, wrong_message, lost };
  const int status = status_of(start([&]() -> int {
    // A file system of this process alone, which ends with it.
    const unsigned spaces = geteuid() == 0 ? CLONE_NEWNS : CLONE_NEWNS | CLONE_NEWUSER;
    if (unshare(static_cast<int>(spaces)) != 0 ||
        mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        mount("none", folder.path.c_str(), "tmpfs", 0, "size=64k") != 0) {
      return no_mount;
    }
    const fs::path path = folder.path / "x.bmp";
    save_image(path, filled(1, 50));
    std::string message;
    try {
      save_image(path, filled(2, 200));
    } catch (const salience::FileError& error) {
      message = error.what();
    }
    if (message != path.string() + ": cannot be written: No space left on device") return wrong_message;
    return salience::load_image(path) == filled(1, 50) && folder.files() == 1 ? passed : lost;
  }));
  REQUIRE(WIFEXITED(status));
  if (WEXITSTATUS(status) == no_mount) {
    MESSAGE("left out: no file system may be mounted here");
  } else {
    CHECK(WEXITSTATUS(status) == passed);
  }
}
#endif
