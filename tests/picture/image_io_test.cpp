#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include <salience/error.hpp>
#include <salience/picture/image_io.hpp>
#include <salience/picture/resize.hpp>

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "temporary_folder.hpp"

namespace fs = std::filesystem;
using salience::ArgumentError;
using salience::decode_image;
using salience::encode_image;
using salience::FileError;
using salience::Image;
using salience::load_image;
using salience::save_image;

namespace {

/// While it lives, the process has no root's rights, if it had, and the folder these permissions.
class NotRoot {
 public:
  explicit NotRoot(const TemporaryFolder& folder, int permissions = 0755) {
    fs::permissions(folder.path, static_cast<fs::perms>(permissions));
    REQUIRE(seteuid(before_ == 0 ? 65534 : before_) == 0);
  }
  NotRoot(const NotRoot&) = delete;
  NotRoot& operator=(const NotRoot&) = delete;
  ~NotRoot() {
    if (seteuid(before_) != 0) std::abort();
  }

 private:
  uid_t before_ = geteuid();
};

Image noise(int height, int width, int channels) {
  Image image(height, width, channels);
  std::uint32_t state = 7;
  for (std::uint8_t& pixel : image.pixels()) {
    pixel = static_cast<std::uint8_t>((state = state * 1664525U + 1013904223U) >> 24);
  }
  return image;
}

void write(const fs::path& path, std::span<const std::uint8_t> bytes) {
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

int largest_difference(const Image& a, const Image& b) {
  REQUIRE(a.pixels().size() == b.pixels().size());
  int largest = 0;
  for (std::size_t i = 0; i < a.pixels().size(); ++i) {
    largest = std::max(largest, std::abs(a.pixels()[i] - b.pixels()[i]));
  }
  return largest;
}

/// Makes the check sum of a PNG file's header right again.
void set_header_sum(std::vector<std::uint8_t>& png) {
  const std::uint32_t sum = salience::detail::crc32(std::span(png).subspan(12, 17));
  for (std::size_t i = 0; i < 4; ++i) png[29 + i] = static_cast<std::uint8_t>(sum >> (24 - 8 * i));
}

/// The message of the FileError that reading the file gives, without the path that it begins with.
std::string complaint(const fs::path& path, const salience::LoadOptions& options = {}) {
  try {
    load_image(path, options);
  } catch (const FileError& error) {
    const std::string message = error.what();
    const std::string begin = path.string() + ": ";
    CHECK(message.starts_with(begin));
    return message.substr(begin.size());
  }
  return "nothing was thrown";
}

const fs::path golden = SALIENCE_TEST_DATA_DIR "/pictures";

}  // namespace

TEST_CASE("PNG keeps every pixel of one to four channels, BMP of RGB and RGBA") {
  const TemporaryFolder folder;
  for (int channels = 1; channels <= 4; ++channels) {
    const Image image = noise(13, 21, channels);
    const fs::path path = folder.path / ("a picture " + std::to_string(channels) + ".PNG");
    save_image(path, image);
    CHECK(load_image(path) == image);
    CHECK(decode_image(encode_image(image, ".png")) == image);
  }
  for (const int channels : {3, 4}) {
    save_image(folder.path / "b.bmp", noise(13, 21, channels));
    CHECK(load_image(folder.path / "b.bmp") == noise(13, 21, channels));
  }
  save_image(folder.path / "gray.bmp", noise(13, 21, 1));
  CHECK(load_image(folder.path / "gray.bmp") == to_rgb(noise(13, 21, 1)));
  CHECK(folder.files() == 6);
}

TEST_CASE("JPEG decodes to Pillow's pixels, within 3 levels") {
  const Image decoded = load_image(golden / "smooth.jpg");
  const Image pillow = load_image(golden / "smooth_decoded.png");
  CHECK(decoded.height() == 70);
  CHECK(decoded.width() == 90);
  CHECK(largest_difference(decoded, pillow) <= 3);
}

TEST_CASE("JPEG is written near to the picture, nearer with more quality") {
  const Image image = resize(load_image(golden / "scene.png"), 90, 120);
  const Image fine = decode_image(encode_image(image, ".jpg", {.jpeg_quality = 100}));
  const Image coarse = decode_image(encode_image(image, ".JPEG", {.jpeg_quality = 10}));
  CHECK(largest_difference(fine, image) <= 6);
  CHECK(largest_difference(coarse, image) > 20);
  const Image gray = decode_image(encode_image(to_gray(image), ".jpg", {.jpeg_quality = 100}));
  CHECK(largest_difference(gray, to_rgb(to_gray(image))) <= 6);
}

TEST_CASE("load_image says what is wrong with a file") {
  const TemporaryFolder folder;
  CHECK(complaint(folder.path / "none.png") == "there is no such file");
  CHECK(complaint(folder.path) == "is a directory, not a file");
  const fs::path pipe = folder.path / "pipe.png";
  REQUIRE(mkfifo(pipe.c_str(), 0600) == 0);
  CHECK(complaint(pipe) == "is not a regular file");
  CHECK(complaint("/dev/zero") == "is not a regular file");
  CHECK(complaint("/proc/self/mem").starts_with("cannot be read"));

  const fs::path path = folder.path / "x.png";
  write(path, {});
  CHECK(complaint(path) == "is empty, not a picture");
  const std::string text = "no picture at all";
  write(path, std::span(reinterpret_cast<const std::uint8_t*>(text.data()), text.size()));
  CHECK(complaint(path) ==
        "is not a PNG, JPEG, BMP, GIF, TGA, PSD or PNM picture, or its header is damaged or announces "
        "too large a one");

  fs::permissions(path, fs::perms::none);
  const NotRoot not_root(folder);
  CHECK(complaint(path) == "cannot be opened: Permission denied");
}

TEST_CASE("a picture that is cut off anywhere is an error, never a picture") {
  for (const char* const extension : {".png", ".bmp", ".jpg"}) {
    CAPTURE(extension);
    const std::vector<std::uint8_t> whole = encode_image(noise(15, 17, 3), extension);
    // The last bytes: PNG's check sum of nothing, BMP's padding of a row, JPEG's marker of the end.
    const std::size_t unneeded = extension == std::string(".png")   ? 4
                                 : extension == std::string(".bmp") ? 1
                                                                    : 0;
    CHECK(decode_image(whole).height() == 15);
    for (std::size_t size = 1; size + unneeded < whole.size(); ++size) {
      CAPTURE(size);
      CHECK_THROWS_AS(decode_image(std::span(whole).first(size)), FileError);
    }
  }
  const TemporaryFolder folder;
  const std::vector<std::uint8_t> bytes = encode_image(noise(15, 17, 3), ".png");
  write(folder.path / "half.png", std::span(bytes).first(bytes.size() / 2));
  CHECK(complaint(folder.path / "half.png") == "is cut off: the picture's data end too early");
  const std::vector<std::uint8_t> rows = encode_image(noise(15, 17, 3), ".bmp");
  write(folder.path / "half.bmp", std::span(rows).first(rows.size() / 2));
  CHECK(complaint(folder.path / "half.bmp") == "is cut off: the picture's data end too early");
}

TEST_CASE("a damaged picture is an error with stb's reason") {
  std::vector<std::uint8_t> bytes = encode_image(noise(15, 17, 3), ".jpg");
  const std::array<std::uint8_t, 2> scan{0xFF, 0xDA};
  std::search(bytes.begin(), bytes.end(), scan.begin(), scan.end())[3] ^= 1;  // its header's length
  CHECK_THROWS_WITH_AS(decode_image(bytes),
                       "the picture in memory: is damaged, cut off or of an unusual kind: bad SOS len",
                       FileError);
}

TEST_CASE("a changed byte of a PNG picture never gives other pixels") {
  const Image image = noise(15, 17, 3);
  const std::vector<std::uint8_t> whole = encode_image(image, ".png");
  int refused = 0;
  for (std::size_t i = 0; i < whole.size(); ++i) {
    std::vector<std::uint8_t> changed = whole;
    changed[i] ^= 1;
    try {
      const Image decoded = decode_image(changed);
      CHECK(decoded == image);
    } catch (const FileError&) {
      ++refused;
    }
  }
  CHECK(refused == static_cast<int>(whole.size()) - 4);  // but for the length of the empty last chunk
  std::vector<std::uint8_t> changed = whole;
  changed[50] ^= 1;
  CHECK_THROWS_WITH_AS(decode_image(changed), "the picture in memory: is damaged: a check sum is wrong",
                       FileError);
}

TEST_CASE("what leads stb astray in a JPEG picture is refused before stb sees it") {
  const auto complaint_of = [](const std::vector<std::uint8_t>& bytes) -> std::string {
    try {
      decode_image(bytes);
    } catch (const FileError& error) {
      return error.what();
    }
    return "nothing was thrown";
  };
  const std::vector<std::uint8_t> whole = encode_image(noise(15, 17, 3), ".jpg");
  const auto find = [&whole](std::uint8_t marker) {
    const std::array<std::uint8_t, 2> code{0xFF, marker};
    return std::search(whole.begin(), whole.end(), code.begin(), code.end()) - whole.begin();
  };
  const auto tables = find(0xC4), scan = find(0xDA);

  std::vector<std::uint8_t> codes = whole;
  std::fill_n(codes.begin() + tables + 5, 16, std::uint8_t{17});  // of each length 17: 272
  CHECK(complaint_of(codes) == "the picture in memory: is damaged: a Huffman table has more than 256 codes");
  std::vector<std::uint8_t> padded = whole;
  padded.insert(padded.begin(), 200, 0xFF);
  CHECK(complaint_of(padded) == "the picture in memory: is not a JPEG picture, though it begins as one");
  std::vector<std::uint8_t> empty(whole.begin(), whole.begin() + scan);
  empty.insert(empty.end(), {0xFF, 0xD9});
  CHECK(complaint_of(empty) == "the picture in memory: is damaged: it has no scan");
  std::vector<std::uint8_t> many(whole.begin(), whole.end() - 2);
  for (int i = 0; i < 100; ++i) many.insert(many.end(), whole.begin() + scan, whole.end() - 2);
  many.insert(many.end(), {0xFF, 0xD9});
  CHECK(complaint_of(many) == "the picture in memory: is damaged: it has more than 100 scans");
  many.resize(many.size() - 2 - (whole.size() - 2 - static_cast<std::size_t>(scan)));
  many.insert(many.end(), {0xFF, 0xD9});
  CHECK(decode_image(many) == decode_image(whole));
}

TEST_CASE("the data of a picture unpack to no more than its size can need") {
  const std::vector<std::uint8_t> whole = encode_image(Image(2000, 2000, 3), ".png");
  std::vector<std::uint8_t> bomb = whole;
  bomb[18] = bomb[22] = 0;
  bomb[19] = bomb[23] = 2;
  set_header_sum(bomb);
  CHECK_THROWS_WITH_AS(
      decode_image(bomb),
      "the picture in memory: is damaged: its data unpack to more than a picture of its size", FileError);
  CHECK(decode_image(whole) == Image(2000, 2000, 3));
}

TEST_CASE("PNM is read at 255 levels, and refused at others, without pixels and cut off") {
  const auto decode_text = [](std::string text) {
    return decode_image(std::span(reinterpret_cast<const std::uint8_t*>(text.data()), text.size()));
  };
  CHECK(decode_text("P5 # a comment\n2 1\n255\nab") == Image(1, 2, 1, {'a', 'b'}));
  CHECK_THROWS_WITH_AS(decode_text("P5\n2 1\n254\nab"),
                       "the picture in memory: is a PNM picture whose largest value is not 255", FileError);
  CHECK_THROWS_WITH_AS(decode_text("P5\n2 0\n255\nab"),
                       "the picture in memory: is damaged: its header announces 0x2 pixels", FileError);
  CHECK_THROWS_WITH_AS(decode_text("P5\n20 20\n255\n" + std::string(399, 'a')),
                       "the picture in memory: is cut off: the picture's data end too early", FileError);
}

TEST_CASE("max_pixels holds before anything is decoded") {
  // A header that announces many pixels, and nothing behind it.
  std::vector<std::uint8_t> bomb = encode_image(noise(15, 17, 3), ".png");
  bomb.resize(45);
  for (const std::size_t side : {16U, 20U}) bomb[side + 2] = 15000 >> 8, bomb[side + 3] = 15000 & 0xFF;
  set_header_sum(bomb);
  CHECK_THROWS_WITH_AS(
      decode_image(bomb),
      "the picture in memory: has 15000x15000 = 225000000 pixels, more than max_pixels = 178956970",
      FileError);
  const TemporaryFolder folder;
  save_image(folder.path / "x.png", noise(5, 4, 3));
  CHECK(load_image(folder.path / "x.png", {.max_pixels = 20}).width() == 4);
  CHECK(complaint(folder.path / "x.png", {.max_pixels = 19}) ==
        "has 5x4 = 20 pixels, more than max_pixels = 19");
  std::vector<std::uint8_t> top_down = encode_image(noise(5, 4, 3), ".bmp");
  top_down[22] = 256 - 5;  // the height, which is negative where the first row is the top one
  std::fill_n(top_down.begin() + 23, 3, std::uint8_t{255});
  CHECK(decode_image(top_down, {.max_pixels = 20}).height() == 5);
  CHECK_THROWS_WITH_AS(decode_image(top_down, {.max_pixels = 19}),
                       "the picture in memory: has 5x4 = 20 pixels, more than max_pixels = 19", FileError);
  CHECK_THROWS_WITH_AS(decode_image(bomb, {.max_pixels = 0}), "max_pixels must be a number above 0, got 0",
                       ArgumentError);
}

TEST_CASE("encode_image says what a format cannot hold") {
  CHECK_THROWS_WITH_AS(encode_image(Image(), ".png"), "a picture to save must have pixels, got an empty one",
                       ArgumentError);
  CHECK_THROWS_WITH_AS(encode_image(Image(1, 1, 5), ".png"),
                       "the number of channels of a PNG picture must be 1, 2, 3 or 4, got 5", ArgumentError);
  CHECK_THROWS_WITH_AS(encode_image(Image(1, 1, 4), ".jpg"),
                       "the number of channels of a JPEG picture must be 1 or 3 (to_rgb drops alpha), got 4",
                       ArgumentError);
  CHECK_THROWS_WITH_AS(encode_image(Image(1, 1, 2), ".bmp"),
                       "the number of channels of a BMP picture must be 1, 3 or 4, got 2", ArgumentError);
  CHECK_THROWS_WITH_AS(encode_image(Image(1, 1, 3), ".gif"),
                       "a picture's extension must be .png, .jpg, .jpeg or .bmp, got '.gif'", ArgumentError);
  CHECK_THROWS_WITH_AS(encode_image(Image(1, 70000, 1), ".jpg"),
                       "a picture of 1x70000x1 is too large for the file format", ArgumentError);
  CHECK_THROWS_WITH_AS(encode_image(Image(16384, 16384, 1), ".png"),
                       "a picture of 16384x16384x1 is too large for the file format", ArgumentError);
  for (const int quality : {0, 101}) {
    CHECK_THROWS_AS(encode_image(Image(1, 1, 3), ".jpg", {.jpeg_quality = quality}), ArgumentError);
  }
}

TEST_CASE("save_image says why a file cannot be written, and leaves nothing behind") {
  const TemporaryFolder folder;
  const Image image = noise(3, 3, 3);
  const auto message = [&](const fs::path& path) -> std::string {
    try {
      save_image(path, image);
    } catch (const FileError& error) {
      return error.what();
    }
    return "nothing was thrown";
  };
  const std::string begin = folder.path.string();
  CHECK(message(folder.path / "x.tiff") ==
        begin + "/x.tiff: a picture's name must end in .png, .jpg, .jpeg or .bmp, not in '.tiff'");
  CHECK(message(folder.path / "x") ==
        begin + "/x: a picture's name must end in .png, .jpg, .jpeg or .bmp, not in ''");
  CHECK(message(folder.path / "none" / "x.png") ==
        begin + "/none/x.png: cannot be written: there is no folder " + begin + "/none");
  fs::create_directory(folder.path / "d.png");
  CHECK(message(folder.path / "d.png") == begin + "/d.png: cannot be written: it is a directory");
  REQUIRE(mkfifo((folder.path / "p.png").c_str(), 0600) == 0);
  CHECK(message(folder.path / "p.png") == begin + "/p.png: cannot be written: it is not a regular file");
  CHECK(message(folder.path / (std::string(300, 'n') + ".png")).find("cannot be written: ") !=
        std::string::npos);
  CHECK(message("/proc/self/x.png") == "/proc/self/x.png: cannot be written: No such file or directory");
  CHECK(folder.files() == 2);
}

TEST_CASE("a failure to encode leaves the older file as it was") {
  const TemporaryFolder folder;
  const fs::path path = folder.path / "x.jpg";
  save_image(path, noise(3, 3, 3));
  const Image older = load_image(path);
  CHECK_THROWS_AS(save_image(path, noise(3, 3, 4)), ArgumentError);
  CHECK(load_image(path) == older);
  CHECK(folder.files() == 1);
}

TEST_CASE("a disk that fills up leaves the older file as it was") {
  const TemporaryFolder folder;
  const fs::path path = folder.path / "x.bmp";
  save_image(path, noise(2, 2, 3));
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &before) == 0);
  const auto signal_before = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{1000, before.rlim_max};
  REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
  std::string message;
  try {
    save_image(path, noise(50, 50, 3));
  } catch (const FileError& error) {
    message = error.what();
  }
  REQUIRE(setrlimit(RLIMIT_FSIZE, &before) == 0);
  std::signal(SIGXFSZ, signal_before);
  CHECK(message == path.string() + ": cannot be written: File too large");
  CHECK(load_image(path) == noise(2, 2, 3));
  CHECK(folder.files() == 1);
}

TEST_CASE("a folder that may not be written to keeps the older file") {
  const TemporaryFolder folder;
  const fs::path path = folder.path / "x.png";
  save_image(path, noise(2, 2, 3));
  {
    const NotRoot not_root(folder, 0555);
    CHECK_THROWS_WITH_AS(save_image(path, noise(3, 3, 3)),
                         (path.string() + ": cannot be written: Permission denied").c_str(), FileError);
  }
  fs::permissions(folder.path, fs::perms::owner_all);
  CHECK(load_image(path) == noise(2, 2, 3));
  CHECK(folder.files() == 1);
}

TEST_CASE("a saved file has a new file's permissions, and a link stays a link") {
  const TemporaryFolder folder;
  const mode_t before = umask(027);
  save_image(folder.path / "x.png", noise(3, 3, 3));
  umask(before);
  CHECK(fs::status(folder.path / "x.png").permissions() == static_cast<fs::perms>(0640));
  fs::create_symlink("x.png", folder.path / "link.png");
  save_image(folder.path / "link.png", noise(4, 4, 3));
  CHECK(fs::is_symlink(folder.path / "link.png"));
  CHECK(load_image(folder.path / "x.png") == noise(4, 4, 3));
}

TEST_CASE("a file without a folder in its path goes to the current one") {
  const TemporaryFolder folder;
  const fs::path before = fs::current_path();
  fs::current_path(folder.path);
  save_image("x.png", noise(3, 3, 1));
  fs::current_path(before);
  CHECK(load_image(folder.path / "x.png") == noise(3, 3, 1));
}

TEST_CASE("a reader never meets half a file, though many threads write it") {
  const TemporaryFolder folder;
  const fs::path path = folder.path / "x.png";
  save_image(path, noise(40, 40, 3));
  std::vector<std::thread> writers;
  for (int i = 0; i < 3; ++i) {
    writers.emplace_back([&path, size = 40 + i] {
      for (int k = 0; k < 20; ++k) save_image(path, noise(size, size, 3));
    });
  }
  int whole = 0;
  for (int k = 0; k < 60; ++k) {
    const Image seen = load_image(path);
    whole += seen == noise(seen.height(), seen.width(), 3);
  }
  for (std::thread& writer : writers) writer.join();
  CHECK(whole == 60);
  CHECK(folder.files() == 1);
}

TEST_CASE("text is written as it is") {
  const TemporaryFolder folder;
  salience::write_file_atomically(folder.path / "t", std::string_view("a\nb"));
  const std::vector<std::uint8_t> bytes = salience::read_file(folder.path / "t");
  CHECK(std::string(bytes.begin(), bytes.end()) == "a\nb");
}
