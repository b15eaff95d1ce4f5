#include <salience/io/npy.hpp>

#include <doctest/doctest.h>  // after LibTorch, which has a CHECK of its own

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "../support.hpp"
#include "../temporary_folder.hpp"

using namespace salience;
using namespace std::string_view_literals;
using support::contains;
using support::message;
using support::normal;
using support::same;

namespace {

const std::filesystem::path& folder() {
  static const TemporaryFolder made;
  return made.path;
}

std::string read(const std::filesystem::path& path) {
  const std::vector<std::uint8_t> bytes = read_file(path);
  return {bytes.begin(), bytes.end()};
}

/// A file of that version with this header and what follows.
std::string npy(std::string header, std::string_view values, char version = 1) {
  header += '\n';
  std::string file("\x93NUMPY", 6);
  file.append(1, version).append(1, '\0');
  for (int i = 0; i < (version == 1 ? 2 : 4); ++i) file += static_cast<char>(header.size() >> 8 * i & 255);
  return file.append(header).append(values);
}

std::filesystem::path written(std::string_view bytes) {
  const std::filesystem::path path = folder() / "file.npy";
  write_file_atomically(path, bytes);
  return path;
}
at::Tensor loaded(std::string_view bytes) { return load_npy(written(bytes)); }
std::string refused(std::string_view bytes) {
  const std::string said = message<FileError>([&] { loaded(bytes); });
  CHECK(said.starts_with((folder() / "file.npy").string()));
  return said;
}

const std::string usual = "{'descr': '<i2', 'fortran_order': False, 'shape': (2, 3), }";
const std::string_view six("\1\0\2\0\3\0\4\0\5\0\6\0", 12);
const at::Tensor six_values = support::tensor({1, 2, 3, 4, 5, 6}, {2, 3}).to(at::kShort);

}  // namespace

TEST_CASE("npy: what is written is read again, in every type and shape") {
  const std::filesystem::path path = folder() / "round.npy";
  for (const at::ScalarType type : {at::kDouble, at::kFloat, at::kHalf, at::kLong, at::kInt, at::kShort,
                                    at::kChar, at::kByte, at::kBool}) {
    for (const std::vector<std::int64_t>& sizes :
         std::vector<std::vector<std::int64_t>>{{}, {1}, {7}, {2, 3}, {1, 3, 5, 4}, {0}, {3, 0, 2}}) {
      const at::Tensor values = normal(sizes).mul(9.0).abs().to(type);
      save_npy(path, values);
      const at::Tensor again = load_npy(path);
      CHECK(same(again, values));
      CHECK(again.is_contiguous());
    }
  }
  const at::Tensor turned = normal({4, 5, 6}).permute({2, 0, 1}).slice(1, 1, 3);
  save_npy(path, turned);
  CHECK(same(load_npy(path), turned.contiguous()));
  save_npy(path, normal({3}).requires_grad_(true));
  CHECK(!load_npy(path).requires_grad());
}

TEST_CASE("npy: the file is that of numpy's save, byte for byte") {
  const std::filesystem::path path = folder() / "bytes.npy";
  save_npy(path, six_values);
  const std::string header = usual + std::string(20, ' ');
  const std::string file = read(path);
  CHECK(file.size() == 128 + 12);
  CHECK(file.substr(0, 10) == std::string("\x93NUMPY\x01\x00\x76\x00", 10));
  CHECK(file.substr(10, header.size()) == header);
  CHECK(file.substr(10 + header.size(), 118 - header.size()) == std::string(117 - header.size(), ' ') + "\n");
  CHECK(file.substr(128) == six);
}

TEST_CASE("npy: every version, byte order and order of the sizes, and Python's ways to write a dict") {
  CHECK(same(loaded(npy(usual, six)), six_values));
  CHECK(same(loaded(npy(usual, six, 2)), six_values));
  CHECK(same(loaded(npy(usual, six, 3)), six_values));
  CHECK(same(loaded(npy(usual, std::string(six) + "behind")), six_values));
  for (const std::string header :
       {"{'descr':'=i2','fortran_order':False,'shape':(2,3)}",
        "{\"shape\": (2L, 3L), \"fortran_order\": False, \"descr\": \"<i2\"}   ",
        " { 'fortran_order' : False , 'descr' : '|i2' , 'shape' : ( 2 , 3 , ) , } "}) {
    CAPTURE(header);
    CHECK(same(loaded(npy(header, six)), six_values));
  }
  CHECK(same(loaded(npy("{'descr': '>i2', 'fortran_order': False, 'shape': (2, 3), }",
                        "\0\1\0\2\0\3\0\4\0\5\0\6"sv)),
             six_values));
  const at::Tensor turned = loaded(npy("{'descr': '<i2', 'fortran_order': True, 'shape': (3, 2), }", six));
  CHECK(same(turned, six_values.t().contiguous()));
  CHECK(turned.is_contiguous());
  CHECK(same(loaded(npy("{'descr': '|b1', 'fortran_order': False, 'shape': (3,), }", "\0\1\7"sv)),
             support::tensor({0, 1, 1}, {3}).to(at::kBool)));
  CHECK(same(loaded(npy("{'descr': '>f8', 'fortran_order': False, 'shape': (), }", "\x3f\xf8\0\0\0\0\0\0"sv)),
             support::tensor({1.5}, {})));
}

TEST_CASE("npy: what cannot be read is refused in a sentence") {
  CHECK(contains(message<FileError>([] { load_npy(folder() / "missing.npy"); }), "there is no such file"));
  CHECK(contains(message<FileError>([] { load_npy(folder()); }), "is a directory"));
  CHECK(contains(refused(""), "is no .npy file: it does not begin with numpy's mark"));
  CHECK(contains(refused("\x89PNG and so on"), "is no .npy file"));
  CHECK(contains(refused(npy(usual, six, 4)), "is of version 4 of numpy's format; known are 1 to 3"));
  const auto typed = [](const std::string& type) {
    return refused(npy("{'descr': " + type + ", 'fortran_order': False, 'shape': (2, 3), }", six));
  };
  CHECK(contains(typed("[('a', '<f4'), ('b', '<i2')]"), "holds records"));
  CHECK(contains(typed("'|O'"), "holds Python objects, which only Python can read"));
  CHECK(contains(typed("'<c8'"), "holds complex numbers"));
  for (const std::string type :
       {"'<u2'", "'<V2'", "'<U3'", "'f4'", "'<f16'", "'<f'", "'?f4'", "'<i1x'", "'<M8[s]'"}) {
    CAPTURE(type);
    CHECK(contains(typed(type), "holds values of numpy's type " + type));
  }
  for (const std::string& header : std::vector<std::string>{
           "", "[]", "{}", "{'descr': '<i2', 'fortran_order': False, }", usual + "x", "{" + usual + "}",
           "{'descr': '<i2', 'fortran_order': 0, 'shape': (2, 3), }",
           "{'descr': '<i2', 'fortran_order': False, 'shape': (2, -3), }",
           "{'descr': '<i2', 'fortran_order': False, 'shape': 6, }",
           "{'descr': '<i2', 'fortran_order': False, 'shape': (2, 3), 'shape': (2, 3), }",
           "{'descr': '<i2', 'fortran_order': False, 'shape': (2, 3), 'more': 1, }",
           "{'descr': '<i2', 'fortran_order': False, 'shape': (2 3), }", "{'descr': '<i2"}) {
    CAPTURE(header);
    CHECK(contains(refused(npy(header, six)), "has a header that is not as numpy writes it"));
  }
}

TEST_CASE("npy: a damaged file is refused before memory is taken for what it promises") {
  for (const std::string shape :
       {"(7,)", "(2, 4)", "(999999999999999999,)", "(999999999999999999, 999999999999999999)",
        "(0, 999999999999999999, 999999999999999999)", "(4611686018427387904, 2, 0)"}) {
    CAPTURE(shape);
    const std::string header = "{'descr': '<i2', 'fortran_order': False, 'shape': " + shape + ", }";
    const std::string said = refused(npy(header, six));
    CHECK((contains(said, "is cut off: its header promises more values than there are") ||
           contains(said, "has a header that is not as numpy writes it")));
  }
  std::string ones = "1";
  for (int i = 0; i < 64; ++i) ones += ", 1";
  CHECK(contains(refused(npy("{'descr': '<i2', 'fortran_order': False, 'shape': (" + ones + "), }", six)),
                 "has 65 dimensions; numpy has at most 64"));
  const std::string whole = npy(usual, six, 2);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const std::string said = refused(std::string_view(whole).substr(0, size));
    CHECK((contains(said, "is cut off") || contains(said, "is no .npy file")));
  }
  int kept = 0;
  for (std::size_t place = 0; place + six.size() < whole.size(); ++place) {
    for (const int bit : {0, 3, 7}) {
      std::string damaged = whole;
      damaged[place] = static_cast<char>(damaged[place] ^ 1 << bit);
      std::size_t bytes = 0;
      try {
        bytes = loaded(damaged).nbytes();
        ++kept;
      } catch (const FileError&) {
      }
      CHECK(bytes <= six.size());
    }
  }
  CHECK(kept > 0);  // spaces and smaller sizes do no harm
}

TEST_CASE("npy: what numpy has no type for is not written") {
  const std::filesystem::path path = folder() / "none.npy";
  CHECK(message<ArgumentError>([&] { save_npy(path, normal({2}).to(at::kBFloat16)); }) ==
        "the tensor of a .npy file must be of a type that numpy has (bfloat16.to(at::kFloat) loses nothing), "
        "got "
        "BFloat16");
  CHECK(contains(message<ArgumentError>([&] { save_npy(path, at::Tensor()); }), "(undefined)"));
  CHECK(contains(message<ArgumentError>([&] { save_npy(path, normal({2, 2}).to_sparse(2)); }), "Sparse"));
  CHECK(!std::filesystem::exists(path));
  CHECK(contains(message<FileError>([&] { save_npy(folder() / "no" / "file.npy", normal({2})); }),
                 "there is no folder"));
}
