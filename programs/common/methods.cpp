#include "methods.hpp"

#include <salience/method/registry.hpp>
#include <salience/model/graph_model.hpp>

#include <algorithm>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "network.hpp"
#include "segments.hpp"

namespace sal = salience;

namespace {

/// The class that is given, else the largest logit.
struct GivenOrPredicted {
  const Classes& classes;

  at::Tensor choose(const at::Tensor& logits) const {
    const bool given = std::ranges::all_of(classes, [](const auto& index) { return index.has_value(); });
    std::vector<std::int64_t> indices;
    const at::Tensor predicted = given ? at::Tensor() : sal::ArgMax{}.choose(logits).cpu();
    for (std::size_t i = 0; i < classes.size(); ++i) {
      indices.push_back(classes[i] ? *classes[i]
                                   : predicted[static_cast<std::int64_t>(i)].item<std::int64_t>());
    }
    return sal::PerSample{indices}.choose(logits);
  }
};

/// A method of the registry, made once, by whichever thread asks first.
class Made {
 public:
  Made(const sal::MethodEntry& entry, sal::AnyModel model, sal::MethodOptions options)
      : entry_(entry), model_(std::move(model)), options_(std::move(options)) {}

  const sal::AnyAttributor& get() {
    std::call_once(made_, [this] { attributor_.emplace(entry_.make(model_, options_)); });
    return *attributor_;
  }

 private:
  const sal::MethodEntry& entry_;
  sal::AnyModel model_;
  sal::MethodOptions options_;
  std::once_flag made_;
  std::optional<sal::AnyAttributor> attributor_;
};

}  // namespace

std::span<const sal::MethodEntry> registered_methods() { return sal::methods(); }

std::vector<std::string> method_names() { return sal::method_names(); }

std::string method_title(const std::string& name) { return std::string(sal::find_method(name).title); }

bool method_takes(const std::string& name, const std::string& option) {
  return sal::find_method(name).takes(option);
}

std::string methods_that_take(const std::string& option) {
  std::string names;
  for (const sal::MethodEntry& entry : sal::methods()) {
    if (entry.takes(option)) names.append(names.empty() ? "" : ", ").append(entry.name);
  }
  return names;
}

std::map<std::string, Method> methods(const sal::GraphModel& model, const Settings& settings,
                                      const sal::Baseline& baseline, const sal::ProgressCallback& progress,
                                      const Score& score, bool of_pictures) {
  const sal::AnyModel any(model);
  const Preprocess preprocess = preprocessor(settings);
  const sal::MethodOptions options{
      .samples = settings.samples,
      .noise = settings.noise,
      .seed = settings.seed,
      .steps = settings.steps,
      .baseline = baseline,
      .segments = segments(settings, preprocess),
      .window = settings.window,
      .stride = settings.stride,
      .tolerance = settings.tolerance,
      .low = of_pictures ? black(settings, preprocess) : at::Tensor(),
      .high = of_pictures ? white(settings, preprocess) : at::Tensor(),
      .layer = settings.layers.empty() ? sal::LayerNames() : sal::LayerNames(settings.layers),
      .chunk = settings.chunk,
      .progress = progress};
  std::map<std::string, Method> made;
  for (const sal::MethodEntry& entry : sal::methods()) {
    // What was asked for is made at once, so that a wrong option is told before the work. What rewrites the
    // graph is made when it is first asked for: that takes time, and may be refused.
    const auto attributor = std::make_shared<Made>(entry, any, options);
    const bool asked = std::ranges::find(settings.methods, entry.name) != settings.methods.end();
    if (asked && !entry.needs_graph) attributor->get();
    made.emplace(entry.name, [attributor, type = output_type(settings), score](const at::Tensor& input,
                                                                               const Classes& classes) {
      if (score) return attributor->get()(input, score);
      return attributor->get()(input, sal::TargetSelector{GivenOrPredicted{classes}, sal::Logit{}, type});
    });
  }
  return made;
}
