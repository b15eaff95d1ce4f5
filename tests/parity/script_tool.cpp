// script_tool [COMMAND MODEL INPUT OUT [OPTION...]]: what the methods give on a model file, for Python.
//
//   gradients   the model's output without and with gradients, and the gradient of the score at the input
//   layers      what each layer gives, and the gradient there
//   cams        signed class activation maps of each layer, on its own grid and upsampled; Guided Grad-CAM
//   ways        maps of every row, computed in the many ways that must agree; INPUT holds three rows
//
// Without a command it reads commands from standard input, one a line with a tab between its words, and
// answers each with the line "ok" or "error MESSAGE". MODEL is a model file, INPUT a tensor that
// torch.save wrote; OUT becomes a tuple of pairs, a name and a tensor, or a name and the message of what a
// method threw. Options: prepare=fast, dtype=float32, output=NAME of an entry of what the model returns,
// class=K for one class's logit in place of a weighted sum of all outputs, calls=2 to call the model twice
// and give what came last, layer=NAME once for each layer, methods=vanilla,smooth,guided,cam,guided_cam for
// `ways`, or brief for vanilla gradients in fewer ways.
#include <salience/method/grad_cam.hpp>
#include <salience/method/guided_backprop.hpp>
#include <salience/method/guided_grad_cam.hpp>
#include <salience/method/layer_attribution.hpp>
#include <salience/method/smooth_grad.hpp>
#include <salience/model/load_model.hpp>

#include <algorithm>
#include <cstdint>
#include <exception>
#include <fstream>
#include <iostream>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <torch/script.h>

namespace sal = salience;

namespace {

/// The words of a command.
struct Command {
  std::string name, model, input, out;
  sal::ModelOptions options{};
  std::int64_t index = -1;  ///< the class; negative: a weighted sum
  int calls = 1;
  std::vector<std::string> layers{};
  std::string methods = "vanilla,smooth,guided,cam";
};

Command parsed(const std::vector<std::string>& words) {
  if (words.size() < 4) throw std::runtime_error("expected COMMAND MODEL INPUT OUT");
  Command command{.name = words[0], .model = words[1], .input = words[2], .out = words[3]};
  for (std::size_t i = 4; i < words.size(); ++i) {
    const std::size_t end = words[i].find('=');
    const std::string key = words[i].substr(0, end);
    const std::string value = end == std::string::npos ? "" : words[i].substr(end + 1);
    if (key == "prepare" && (value == "none" || value == "fast")) {
      command.options.prepare = value == "fast" ? sal::Prepare::fast : sal::Prepare::none;
    } else if (key == "dtype" && (value == "float64" || value == "float32" || value == "bfloat16")) {
      command.options.dtype = value == "float64"   ? at::kDouble
                              : value == "float32" ? at::kFloat
                                                   : at::kBFloat16;
    } else if (key == "class") {
      command.index = std::stoll(value);
    } else if (key == "output") {
      command.options.output = value;
    } else if (key == "calls") {
      command.calls = std::stoi(value);
    } else if (key == "layer") {
      command.layers.push_back(value);
    } else if (key == "methods") {
      command.methods = value;
    } else {
      throw std::runtime_error("unknown option: " + words[i]);
    }
  }
  return command;
}

std::vector<char> bytes_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Named tensors and messages on their way into a file.
class Results {
 public:
  void add(const std::string& name, const c10::IValue& value) {
    pairs_.push_back(c10::ivalue::Tuple::create(name, value));
  }

  /// What `make` gives, or the message of what it throws.
  template <class Make>
  void attempt(const std::string& name, const Make& make) {
    try {
      add(name, at::Tensor(make()));
    } catch (const std::exception& error) {
      add(name, std::string(error.what()));
    }
  }

  void save(const std::string& path) const {
    const std::vector<char> bytes = torch::jit::pickle_save(c10::ivalue::Tuple::create(pairs_));
    std::ofstream file(path, std::ios::binary);
    file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    if (!file) throw std::runtime_error("cannot write " + path);
  }

 private:
  std::vector<c10::IValue> pairs_;
};

/// One score per row: cos 1, cos 2 ... times the row's outputs, so that each of them counts.
at::Tensor weighted_sum(const at::Tensor& output) {
  const at::Tensor rows = output.dim() > 1 ? output.flatten(1) : output.unsqueeze(1);
  return rows.matmul(at::arange(1, rows.size(1) + 1, at::kDouble).cos().to(rows.scalar_type()));
}

/// Calls `run` with the target that the command names.
template <class Run>
void with_target(const Command& command, const Run& run) {
  if (command.index < 0) {
    run(sal::TargetSelector{&weighted_sum});
  } else {
    run(sal::TargetSelector{sal::ClassIndex{command.index}});
  }
}

template <class T>
void gradients(const Command& command, const at::Tensor& x, const T& target, Results& results) {
  const auto load = [&command] {
    return sal::GradientAttributor(sal::load_model(command.model, command.options));
  };
  results.attempt("output", [&, vanilla = load()] {
    for (int call = 1; call < command.calls; ++call) vanilla.predict(x, target);
    return vanilla.predict(x, target).logits;
  });
  sal::Attribution last;
  results.attempt("values", [&, vanilla = load()] {
    for (int call = 0; call < command.calls; ++call) last = vanilla(x, target);
    return last.values;
  });
  if (last.values.defined()) results.add("output with gradients", last.logits);
}

/// Each method has a model of its own: one that counts its calls then gives to each what it gives first.
template <class T>
void layers(const Command& command, const at::Tensor& x, const T& target, Results& results) {
  const auto load = [&command] { return sal::load_model(command.model, command.options); };
  std::vector<std::string> names = command.layers;
  if (names.empty()) {
    for (const sal::Layer& layer : load().layers(x)) names.push_back(layer.path);
  }
  for (const std::string& name : names) {
    results.attempt(name + "/activation",
                    [&] { return sal::LayerActivation(load(), {.layer = name})(x, target).values; });
    sal::Attribution gradient;
    results.attempt(name + "/gradient", [&] {
      gradient = sal::LayerGradient(load(), {.layer = name})(x, target);
      return gradient.values;
    });
    if (gradient.logits.defined()) results.add(name + "/output", gradient.logits);
  }
}

template <class T>
void cams(const Command& command, const at::Tensor& x, const T& target, Results& results) {
  const auto model = sal::load_model(command.model, command.options);
  const auto add = [&](const std::string& name, const auto& make) {
    for (const bool upsample : {false, true}) {
      results.attempt(name + (upsample ? "/upsampled" : ""),
                      [&] { return make(upsample)(x, target).values; });
    }
  };
  for (const std::string& layer : command.layers) {
    const auto options = [&layer](bool upsample) {
      return sal::CamOptions{.layer = layer, .relu = false, .upsample = upsample};
    };
    add(layer + "/grad_cam", [&](bool upsample) { return sal::GradCam(model, options(upsample)); });
    add(layer + "/hires_cam", [&](bool upsample) { return sal::HiResCam(model, options(upsample)); });
    add(layer + "/layer_cam", [&](bool upsample) { return sal::LayerCam(model, options(upsample)); });
    results.attempt(layer + "/guided_grad_cam",
                    [&] { return sal::GuidedGradCam(model, {.layer = layer})(x, target).values; });
  }
}

/// The channels of a pixel behind one another, as in a buffer of OpenCV: (N, H, W, C) in memory.
at::Tensor interleaved(const at::Tensor& x) { return x.movedim(1, -1).contiguous().movedim(-1, 1); }

/// The values of a method for each row of `x`, from calls with `size` rows; the last call takes rows again.
template <class Method, class T>
at::Tensor by(std::int64_t size, const Method& method, const at::Tensor& x, const T& target) {
  std::vector<at::Tensor> values;
  for (std::int64_t row = 0; row < x.size(0); row += size) {
    const std::int64_t first = std::min(row, x.size(0) - size);
    const at::Tensor map = method(x.narrow(0, first, size), target).values;
    values.push_back(map.narrow(0, row - first, size - (row - first)));
  }
  return at::cat(values);
}

template <class T>
void ways(const Command& command, const at::Tensor& x, const T& target, Results& results) {
  const auto wanted = [&command](const std::string& method) {
    return ("," + command.methods + ",").find("," + method + ",") != std::string::npos;
  };
  const auto model = sal::load_model(command.model, command.options);
  using Sizes = std::vector<std::int64_t>;
  const auto in_batches = [&](const std::string& name, const auto& method, const Sizes& contiguous,
                              const Sizes& channels_last) {
    for (const std::int64_t size : contiguous) {
      results.attempt(name + "/batch of " + std::to_string(size),
                      [&] { return by(size, method, x, target); });
    }
    if (x.dim() < 4) return;
    for (const std::int64_t size : channels_last) {
      results.attempt(name + "/channels-last, batch of " + std::to_string(size),
                      [&] { return by(size, method, interleaved(x), target); });
    }
  };
  results.attempt("output", [&] { return model(x).detach(); });
  const sal::GradientAttributor vanilla(model);
  if (wanted("vanilla")) in_batches("vanilla", vanilla, {1, 2, 3}, {1, 3});
  if (wanted("brief")) in_batches("brief", vanilla, {1, 3}, {1});
  if (wanted("guided")) in_batches("guided", sal::GuidedBackprop(model), {1, 3}, {1});
  if (wanted("cam") && x.dim() == 4) {
    // signed: a map with nothing above zero would agree with any other
    in_batches("cam", sal::GradCam(model, {.relu = false, .upsample = false}), {1, 3}, {1});
  }
  if (wanted("guided_cam") && x.dim() == 4) in_batches("guided_cam", sal::GuidedGradCam(model), {3}, {});
  if (wanted("smooth")) {
    for (const std::int64_t chunk : {1, 2}) {
      const sal::SmoothGrad smooth(vanilla, {.samples = 2, .noise_level = 0.05, .seed = 7, .chunk = chunk});
      results.attempt("smooth/chunk of " + std::to_string(chunk),
                      [&] { return smooth(x.narrow(0, 0, 1), target).values; });
    }
  }
}

void run(const std::vector<std::string>& words) {
  const Command command = parsed(words);
  at::Tensor x = torch::jit::pickle_load(bytes_of(command.input)).toTensor();
  if (command.options.dtype) x = x.to(*command.options.dtype);
  Results results;
  with_target(command, [&](const auto& target) {
    if (command.name == "gradients") {
      gradients(command, x, target, results);
    } else if (command.name == "layers") {
      layers(command, x, target, results);
    } else if (command.name == "cams") {
      cams(command, x, target, results);
    } else if (command.name == "ways") {
      ways(command, x, target, results);
    } else {
      throw std::runtime_error("unknown command: " + command.name);
    }
  });
  results.save(command.out);
}

/// The error in one line, or nothing.
std::string failure(const std::vector<std::string>& words) {
  try {
    run(words);
    return "";
  } catch (const std::exception& error) {
    std::string message = error.what();
    for (char& c : message) {
      if (c == '\n') c = ' ';
    }
    return message.empty() ? "an exception without a message" : message;
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) {
    const std::string message = failure({argv + 1, argv + argc});
    if (message.empty()) return 0;
    std::cerr << "script_tool: " << message << '\n';
    return 1;
  }
  for (std::string line; std::getline(std::cin, line);) {
    std::vector<std::string> words;
    std::istringstream rest(line);
    for (std::string word; std::getline(rest, word, '\t');) words.push_back(word);
    const std::string message = failure(words);
    std::cout << (message.empty() ? "ok" : "error " + message) << std::endl;
  }
}
