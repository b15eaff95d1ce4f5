// cut_tool REQUESTS OUT: methods at layers and neurons, on models with several inputs, for test_cut.py; class
// activation maps that try single channels, signed and on the layer's grid, for test_channel_cams.py.
//
// REQUESTS is a JSON list of objects:
//
//   name               of the answer
//   model              a model file; prepare, bind, explain: options for it. A bound value is a number, flag,
//                      text, null or list of whole numbers, or {"tensors": FILE}
//   inputs, baseline   files with a tuple of tensors, which torch.save wrote; several are packed into one
//   from               the method runs on the rest of the model from these places on
//   until              the method runs on the model until these places
//   method             see `answer`, with its options layer, steps, chunk, samples
//   target             a class, a list for a neuron, null for the one value of each sample
//
// OUT becomes a tuple of pairs: the name, and a tuple of tensors or the message of what was thrown.
#include <salience/method/ablation_cam.hpp>
#include <salience/method/gradient_shap.hpp>
#include <salience/method/guided_backprop.hpp>
#include <salience/method/input_x_gradient.hpp>
#include <salience/method/integrated_gradients.hpp>
#include <salience/method/internal_influence.hpp>
#include <salience/method/layer_attribution.hpp>
#include <salience/method/layer_conductance.hpp>
#include <salience/method/score_cam.hpp>
#include <salience/model/load_model.hpp>
#include <salience/target/any_target.hpp>
#include <salience/target/neuron.hpp>

#include <cstdint>
#include <exception>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <torch/script.h>
#include <nlohmann/json.hpp>

namespace sal = salience;
using nlohmann::json;
using Tensors = std::vector<at::Tensor>;

namespace {

Tensors read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path);
  const c10::IValue value =
      torch::jit::pickle_load(std::vector<char>{std::istreambuf_iterator<char>(file), {}});
  Tensors tensors;
  for (const c10::IValue& element : value.toTupleRef().elements()) tensors.push_back(element.toTensor());
  return tensors;
}

c10::IValue value_of(const json& value) {
  if (value.is_null()) return {};
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_number_integer()) return value.get<std::int64_t>();
  if (value.is_number()) return value.get<double>();
  if (value.is_string()) return value.get<std::string>();
  if (value.is_array()) return value.get<std::vector<std::int64_t>>();
  return read(value.at("tensors")).at(0);
}

sal::GraphModel loaded(const json& request) {
  sal::ModelOptions options;
  if (request.value("prepare", "none") == "fast") options.prepare = sal::Prepare::fast;
  for (const json& one : request.value("bind", json::array())) {
    options.bind.push_back({one.at("name"), value_of(one.at("value")), one.value("shared", false)});
  }
  for (const json& one : request.value("explain", json::array())) {
    options.explain.push_back({one.at("name"), one.at("sizes").get<std::vector<std::int64_t>>()});
  }
  return sal::load_model(request.at("model").get<std::string>(), options);
}

/// Each model is loaded once for all requests.
const sal::GraphModel& model_of(const json& request) {
  static std::map<std::string, sal::GraphModel> known;
  std::string key;
  for (const char* part : {"model", "prepare", "bind", "explain"})
    key += request.value(part, json()).dump() + '\n';
  const auto found = known.find(key);
  return found != known.end() ? found->second : known.emplace(key, loaded(request)).first->second;
}

sal::LayerPoints points_of(const json& texts) {
  std::vector<sal::LayerPoint> points;
  for (const json& text : texts) points.emplace_back(text.get<std::string>());
  return points;
}

sal::AnyTarget target_of(const json& target) {
  if (target.is_number()) return sal::AnyTarget(sal::ClassIndex{target.get<std::int64_t>()});
  if (target.is_array()) return sal::AnyTarget(sal::Neuron(target.get<std::vector<std::int64_t>>()));
  return sal::AnyTarget([](const at::Tensor& output) { return output.reshape({output.size(0)}); });
}

at::Tensor packed(const sal::GraphModel& model, const Tensors& tensors) {
  return model.parts() ? model.parts()->pack(tensors) : tensors.at(0);
}
Tensors split(const sal::GraphModel& model, const at::Tensor& values) {
  return model.parts() ? model.parts()->split(values) : Tensors{values};
}

Tensors answer(const json& request) {
  sal::GraphModel model = model_of(request);
  at::Tensor x = packed(model, read(request.at("inputs")));
  std::optional<sal::Baseline> baseline;
  at::Tensor start;
  if (request.contains("baseline")) start = packed(model, read(request.at("baseline")));
  if (request.contains("from")) {
    const sal::LayerPoints points = points_of(request.at("from"));
    const sal::GraphModel until = model.until(points);
    model = model.from(points, x);
    x = until(x);
    if (start.defined()) start = until(start);
  }
  if (request.contains("until")) model = model.until(points_of(request.at("until")));
  if (start.defined()) baseline = sal::Baseline::tensor(start);

  const std::string method = request.at("method");
  const std::string layer = request.value("layer", "");
  const auto steps = request.value("steps", std::int64_t{50});
  const auto chunk = request.value("chunk", std::int64_t{0});
  const sal::AnyTarget target = target_of(request.value("target", json()));
  const auto at_input = [&](const auto& made) { return split(model, made(x, target).values); };
  const auto at_layer = [&](const auto& made) { return Tensors{made(x, target).values}; };
  const sal::GradientShapOptions draws{
      .samples = request.value("samples", std::int64_t{5}), .baseline = baseline, .chunk = chunk};
  if (method == "output") return {model(x)};
  if (method == "vanilla") return at_input(sal::GradientAttributor{model});
  if (method == "guided_backprop") return at_input(sal::GuidedBackprop{model});
  if (method == "deconvnet") return at_input(sal::Deconvnet{model});
  if (method == "input_x_gradient") return at_input(sal::InputXGradient{model});
  if (method == "integrated_gradients") {
    return at_input(sal::IntegratedGradients{model, {.steps = steps, .baseline = baseline, .chunk = chunk}});
  }
  if (method == "gradient_shap") return at_input(sal::GradientShap{model, draws});
  if (method == "layer_activation") return at_layer(sal::LayerActivation{model, {.layer = layer}});
  if (method == "layer_gradient") return at_layer(sal::LayerGradient{model, {.layer = layer}});
  if (method == "layer_grad_x_activation")
    return at_layer(sal::LayerGradXActivation{model, {.layer = layer}});
  if (method == "internal_influence") {
    return at_layer(sal::InternalInfluence{
        model, {.layer = layer, .steps = steps, .baseline = baseline, .chunk = chunk}});
  }
  if (method == "layer_conductance") {
    return at_layer(
        sal::LayerConductance{model, {.layer = layer, .steps = steps, .baseline = baseline, .chunk = chunk}});
  }
  if (method == "layer_gradient_shap") return at_layer(sal::LayerGradientShap{model, {layer}, draws});
  if (method == "score_cam") {
    return at_layer(sal::ScoreCam{model, {.layer = layer, .relu = false, .upsample = false, .chunk = chunk}});
  }
  if (method == "ablation_cam") {
    return at_layer(
        sal::AblationCam{model, {.layer = layer, .relu = false, .upsample = false, .chunk = chunk}});
  }
  throw std::runtime_error("unknown method: " + method);
}

c10::IValue answer_or_message(const json& request) {
  try {
    std::vector<c10::IValue> values;
    for (const at::Tensor& tensor : answer(request)) values.emplace_back(tensor.detach());
    return c10::ivalue::Tuple::create(values);
  } catch (const std::exception& error) {
    return std::string(error.what());
  }
}

void run(const std::string& requests, const std::string& out) {
  std::ifstream file(requests);
  std::vector<c10::IValue> answers;
  for (const json& request : json::parse(file)) {
    answers.emplace_back(
        c10::ivalue::Tuple::create(request.at("name").get<std::string>(), answer_or_message(request)));
  }
  const std::vector<char> bytes = torch::jit::pickle_save(c10::ivalue::Tuple::create(answers));
  std::ofstream written(out, std::ios::binary);
  written.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (!written) throw std::runtime_error("cannot write " + out);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc != 3) throw std::runtime_error("expected REQUESTS OUT");
    run(argv[1], argv[2]);
  } catch (const std::exception& error) {
    std::cerr << "cut_tool: " << error.what() << '\n';
    return 1;
  }
}
