#include <salience/io/pt.hpp>

#include <doctest/doctest.h>  // after LibTorch, which has a CHECK of its own

#include <cmath>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "../support.hpp"
#include "../temporary_folder.hpp"

using namespace salience;
using support::contains;
using support::message;
using support::normal;
using support::same;

TEST_CASE(
    "pt: what is written is read again, alone or by name, and nothing more than the tensor is written") {
  const TemporaryFolder folder;
  const std::filesystem::path path = folder.path / "one.pt";
  for (const at::ScalarType type :
       {at::kDouble, at::kFloat, at::kHalf, at::kBFloat16, at::kLong, at::kBool}) {
    for (const std::vector<std::int64_t>& sizes :
         std::vector<std::vector<std::int64_t>>{{}, {3}, {2, 0}, {2, 3, 4}}) {
      const at::Tensor values = normal(sizes).mul(9.0).to(type);
      save_pt(path, values);
      CHECK(same(load_pt(path), values));
    }
  }
  const at::Tensor large = normal({1000, 100});
  save_pt(path, large.slice(0, 5, 7));
  CHECK(std::filesystem::file_size(path) < 5000);
  CHECK(same(load_pt(path), large.slice(0, 5, 7).contiguous()));

  const NamedTensors named{{"b", normal({2})}, {"a", normal({2, 2}).to(at::kFloat)}, {"b", normal({0})}};
  save_pt(path, named);
  const NamedTensors again = load_named_pt(path);
  REQUIRE(again.size() == named.size());
  for (std::size_t i = 0; i < named.size(); ++i) {
    CHECK(again[i].first == named[i].first);
    CHECK(same(again[i].second, named[i].second));
  }
  CHECK(load_named_pt((save_pt(path, NamedTensors{}), path)).empty());
  CHECK(pt_bytes(named).size() == (save_pt(path, named), std::filesystem::file_size(path)));
}

TEST_CASE("pt: what is no such file is refused in a sentence") {
  const TemporaryFolder folder;
  const std::filesystem::path path = folder.path / "one.pt";
  CHECK(contains(message<FileError>([&] { load_pt(path); }), "there is no such file"));
  write_file_atomically(path, std::string_view("nothing of the kind"));
  CHECK(message<FileError>([&] { load_pt(path); }) ==
        path.string() + ": is not what torch.save writes, or is cut off");
  save_pt(path, NamedTensors{{"a", normal({2})}});
  CHECK(contains(message<FileError>([&] { load_pt(path); }), "holds a Tuple where a tensor was expected"));
  save_pt(path, normal({2}));
  CHECK(contains(message<FileError>([&] { load_named_pt(path); }), "holds a Tensor, not tensors with names"));
  CHECK(contains(message<ArgumentError>([&] { save_pt(path, at::Tensor()); }), "(undefined)"));
}

TEST_CASE("pt: a damaged file is refused or gives other values, and takes no more memory than it has") {
  const TemporaryFolder folder;
  const std::filesystem::path path = folder.path / "one.pt";
  const std::string whole = pt_bytes(normal({3, 4}));
  int refused = 0;
  const auto attempt = [&](const std::string& bytes) {
    write_file_atomically(path, std::string_view(bytes));
    try {
      const at::Tensor values = load_pt(path);
      CHECK(values.nbytes() <= bytes.size());
      CHECK(std::isfinite(values.to(at::kDouble).nan_to_num().sum().item<double>()));  // every value is there
    } catch (const FileError&) {
      ++refused;
    }
  };
  for (std::size_t size = 0; size < whole.size(); size += 7) attempt(whole.substr(0, size));
  CHECK(refused > 50);
  for (std::size_t place = 0; place < whole.size(); ++place) {
    std::string damaged = whole;
    damaged[place] = static_cast<char>(damaged[place] ^ (place % 3 == 0 ? 0x80 : 0x05));
    attempt(damaged);
  }
}

TEST_CASE("pt: a storage that claims more values than its file has is refused") {
  const TemporaryFolder folder;
  const std::filesystem::path path = folder.path / "one.pt";
  std::string bytes = pt_bytes(normal({3, 4}));
  const auto put = [&](std::string_view old, std::string_view with) {
    const std::size_t place = bytes.find(old, bytes.find("Storage"));
    REQUIRE(place != std::string::npos);
    bytes.replace(place, old.size(), with);
  };
  put("K\x0c", "K\xf0");                // 240 values in the storage
  put("(K\x03K\x04t", "(K\x3cK\x04t");  // of a tensor (60, 4)
  write_file_atomically(path, std::string_view(bytes));
  CHECK(message<FileError>([&] { load_pt(path); }) ==
        path.string() + ": is damaged: a tensor reaches beyond its values");
}
