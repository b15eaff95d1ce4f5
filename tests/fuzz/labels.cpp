// Any bytes are labels without line breaks, or a FileError; a name is found among them, or a TargetError.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include <fuzzer/FuzzedDataProvider.h>

#include <salience/target/prediction.hpp>
#include <salience/target/target_selector.hpp>
#include <salience/tensor/tensor.hpp>

#include "memory_file.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static MemoryFile file;
  FuzzedDataProvider provider(data, size);
  const std::string name = provider.ConsumeRandomLengthString();
  file.write(provider.ConsumeRemainingBytesAsString());
  try {
    const salience::Labels labels = salience::load_labels(file.path());
    if (labels.empty() || labels.back().empty()) std::abort();
    for (const std::string& label : labels) {
      if (label.find_first_of(std::string("\n\0", 2)) != std::string::npos) std::abort();
    }
    const auto classes = static_cast<std::int64_t>(labels.size());
    const at::Tensor logits = salience::detail::empty({1, classes}, at::kFloat).zero_();
    const auto index = salience::ClassName{name, labels}.choose(logits).item<std::int64_t>();
    if (labels.at(static_cast<std::size_t>(index)).find(name) == std::string::npos) std::abort();
  } catch (const salience::FileError&) {
  } catch (const salience::TargetError&) {
  }
  return 0;
}
