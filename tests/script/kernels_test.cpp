// Do the ways around wrong kernels of LibTorch (graph/kernels.hpp) still have something to go around?
#include <doctest/doctest.h>
#include <torch/script.h>
#include <torch/version.h>

#include "../support.hpp"

using support::normal;

namespace {

/// How far LibTorch's own antialiased interpolation of a channels-last picture one pixel wide is off that of
/// the contiguous one.
double antialiasing_error() {
  const at::Tensor x = normal({2, 8, 7, 1}, at::kDouble, 87);
  const auto resized = [](const at::Tensor& input) {
    return at::_upsample_bilinear2d_aa(input, {3, 1}, false);
  };
  const at::Tensor right = resized(x);
  return resized(x.contiguous(at::MemoryFormat::ChannelsLast)).sub(right).norm().item<double>() /
         right.norm().item<double>();
}

}  // namespace

TEST_CASE(
    "lay_rows_for_antialiasing: LibTorch's own kernel is wrong from version 2 on, and was right before") {
  CAPTURE(TORCH_VERSION);
  INFO(
      "if this fails since LibTorch is right now: let lay_rows_for_antialiasing (graph/kernels.hpp) work "
      "only "
      "on the versions before it, and docs/reliability.md say so");
#if TORCH_VERSION_MAJOR < 2
  CHECK(antialiasing_error() < 1e-14);
#else
  CHECK(antialiasing_error() > 1e-3);
#endif
}
