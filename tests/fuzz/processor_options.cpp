// Any options and values are pictures of the attribution's size, or an ArgumentError.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include <fuzzer/FuzzedDataProvider.h>

#include <c10/util/Exception.h>

#include <salience/tensor/tensor.hpp>
#include <salience/view/attribution_processor.hpp>

namespace {

using salience::Activation;
using salience::ChannelReduction;

template <class Scalar>
Scalar any_number(FuzzedDataProvider& provider) {
  const std::vector<std::uint8_t> bytes = provider.ConsumeBytes<std::uint8_t>(sizeof(Scalar));
  Scalar value = 0;
  std::copy(bytes.begin(), bytes.end(), reinterpret_cast<std::uint8_t*>(&value));
  return value;
}

/// Now and then one that is allowed, since few are.
double number(FuzzedDataProvider& provider) {
  return provider.ConsumeBool() ? provider.ConsumeFloatingPointInRange(0.0, 1.0)
                                : any_number<double>(provider);
}

salience::AttributionProcessorOptions options(FuzzedDataProvider& provider) {
  salience::AttributionProcessorOptions result;
  result.activation =
      provider.PickValueInArray({Activation::none, Activation::abs, Activation::relu, Activation::negative});
  result.channels = provider.PickValueInArray(
      {ChannelReduction::mean, ChannelReduction::max, ChannelReduction::sum, ChannelReduction::l2});
  result.reduce_first = provider.ConsumeBool();
  result.normalize = provider.ConsumeBool();
  result.grayscale = provider.ConsumeBool();
  if (provider.ConsumeBool()) result.percentile = 100.0 * number(provider);
  if (provider.ConsumeBool()) result.skew = number(provider);
  if (provider.ConsumeBool()) result.opacity = number(provider);
  if (provider.ConsumeBool()) {
    const double minimum = number(provider);
    result.range = salience::ValueRange{minimum, number(provider)};
  }
  if (provider.ConsumeBool()) {
    result.colormap = provider.ConsumeBool() ? "inferno" : provider.ConsumeRandomLengthString();
  }
  return result;
}

template <class Scalar>
at::Tensor values(FuzzedDataProvider& provider) {
  std::array<std::int64_t, 4> shape{};  // (N, C, H, W)
  for (std::int64_t& size : shape) size = provider.ConsumeIntegralInRange<std::int64_t>(0, 5);
  at::Tensor tensor = salience::detail::empty(shape, c10::CppTypeToScalarType<Scalar>::value);
  for (std::int64_t i = 0; i < tensor.numel(); ++i)
    tensor.data_ptr<Scalar>()[i] = any_number<Scalar>(provider);
  return tensor;
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  static struct Silent : c10::WarningHandler {
    void process(const c10::Warning&) override {}
  } silent;
  c10::WarningUtils::set_warning_handler(&silent);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  FuzzedDataProvider provider(data, size);
  try {
    const salience::AttributionProcessor view{options(provider)};
    const at::Tensor attribution =
        provider.ConsumeBool() ? values<double>(provider) : values<float>(provider);
    view.range(attribution);
    view.values(attribution);
    const std::vector<salience::Image> pictures = view.images(attribution);
    if (static_cast<std::int64_t>(pictures.size()) != attribution.size(0)) std::abort();
    for (const salience::Image& picture : pictures) {
      if (picture.height() != attribution.size(2) || picture.width() != attribution.size(3)) std::abort();
    }
    if (pictures.size() == 1) view(attribution, salience::to_rgb(pictures[0]));
  } catch (const salience::ArgumentError&) {
  }
  return 0;
}
