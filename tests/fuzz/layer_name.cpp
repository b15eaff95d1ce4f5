// Any name is a layer, or an ArgumentError.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include <fuzzer/FuzzedDataProvider.h>

#include <ATen/ops/conv2d.h>

#include <salience/model/features_head.hpp>
#include <salience/model/last_convolution.hpp>
#include <salience/tensor/tensor.hpp>

namespace {

at::Tensor convolve(const at::Tensor& x) {
  static const at::Tensor weight = salience::detail::empty({1, 1, 1, 1}, at::kFloat).fill_(2.0);
  return at::conv2d(x, weight);
}

const auto twice = [](const at::Tensor& x) { return convolve(convolve(x)); };

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const at::Tensor input = salience::detail::empty({1, 1, 2, 2}, at::kFloat).zero_();
  static const salience::LastConvolution convolutions{twice};
  static const salience::FeaturesHead parts{convolve, convolve};

  FuzzedDataProvider provider(data, size);
  std::vector<std::string> names;
  while (provider.remaining_bytes() > 0) names.push_back(provider.ConsumeRandomLengthString());
  const auto known = [&](const std::vector<std::string>& allowed) {
    return std::all_of(names.begin(), names.end(), [&](const std::string& name) {
      return std::find(allowed.begin(), allowed.end(), name) != allowed.end();
    });
  };
  const auto check = [&](const auto& model, bool all_known) {
    try {
      if (model.tapped(input, names).layers.size() != names.size() || !all_known) std::abort();
    } catch (const salience::ArgumentError&) {
      if (all_known) std::abort();
    }
  };
  check(convolutions, known({"", "convolution.0", "convolution.1"}));
  check(parts, known({"", "features"}));
  return 0;
}
