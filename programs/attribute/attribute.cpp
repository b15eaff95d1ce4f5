// The main job: a classifier and a picture in, predictions and attribution pictures out.

#include <ATen/Parallel.h>
#include <salience/file.hpp>
#include <salience/io/pt.hpp>
#include <salience/method/gradient_attributor.hpp>
#include <salience/picture/contact_sheet.hpp>
#include <salience/picture/image_io.hpp>
#include <salience/target/neuron.hpp>
#include <salience/target/prediction.hpp>
#include <salience/target/target_selector.hpp>
#include <salience/tensor/layer_point.hpp>
#include <salience/view/attribution_processor.hpp>

#include <algorithm>
#include <cctype>
#include <chrono>
#include <filesystem>
#include <iomanip>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "../commands.hpp"
#include "../common/json_number.hpp"
#include "../common/methods.hpp"
#include "../common/network.hpp"
#include "../common/program.hpp"
#include "../common/progress_line.hpp"
#include "../common/views.hpp"
#include "options.hpp"
#include "report.hpp"

namespace sal = salience;
namespace fs = std::filesystem;

namespace {

double number(const at::Tensor& one) { return one.to(at::kDouble).item<double>(); }

/// The figures of one method, as they apply to it.
nlohmann::json figures_of(const sal::Attribution& attribution, double seconds) {
  nlohmann::json figures{{"seconds", seconds}};
  for (const sal::Figure& figure : sal::figures(attribution)) {
    figures[std::string(figure.name)] = json_number(figure.values);
  }
  return figures;
}

/// A name for a person to read.
std::string spaced(std::string name) {
  std::replace(name.begin(), name.end(), '_', ' ');
  return name;
}

/// After how much work the method ended.
std::string after(const sal::Attribution& attribution) {
  std::ostringstream text;
  if (attribution.copies.defined()) {
    text << " after " << attribution.copies.item<std::int64_t>() << " draws, with a standard error of "
         << number(attribution.standard_error) << "; more --samples may meet it";
  } else {
    text << " after " << attribution.evaluations.item<std::int64_t>() << " gradients";
  }
  return text.str();
}

/// What the methods are asked about: the picture and the model, or a part of it.
struct Subject {
  sal::GraphModel model;
  at::Tensor input;
  sal::Baseline baseline;
  Score score{};  ///< explained instead of a class
};

/// "features.10:7,3,5": a place in the model, and a position in what it gives. One number alone is a channel,
/// of which the sum over all places is taken.
std::pair<sal::LayerPoint, Score> neuron(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  std::vector<std::int64_t> position;
  std::istringstream numbers(colon == std::string::npos ? "" : text.substr(colon + 1));
  for (std::string number; std::getline(numbers, number, ',');) {
    const bool digits = !number.empty() && number.size() < 10 &&
                        std::ranges::all_of(number, [](unsigned char c) { return std::isdigit(c) != 0; });
    if (!digits) position.clear();
    if (!digits) break;
    position.push_back(std::stoll(number));
  }
  if (position.empty()) {
    throw sal::ArgumentError(
        "--neuron is LAYER:CHANNEL,Y,X or LAYER:CHANNEL, for instance features.10:7,3,5, not '" + text + "'");
  }
  const Score score = [position](const at::Tensor& output) {
    if (position.size() > 1 || output.dim() <= 2) return sal::Neuron{position}(output);
    return sal::Neuron{position}(output.flatten(2).sum(2));
  };
  return {sal::LayerPoint(text.substr(0, colon)), score};
}

/// The part of the model that --at and --neuron name.
Subject subject_of(const AttributeOptions& options, const sal::GraphModel& model, const at::Tensor& input,
                   const sal::Baseline& baseline) {
  Subject subject{model, input, baseline};
  if (!options.at.empty()) {
    const sal::LayerPoint point(options.at);
    const sal::GraphModel until = model.until(point);
    subject = {model.from(point, input), until(input), sal::Baseline::tensor(until(baseline(input)))};
  }
  if (!options.neuron.empty()) {
    const auto [layer, score] = neuron(options.neuron);
    subject.model = subject.model.until(layer);
    subject.score = score;
  }
  return subject;
}

/// The values as a map of the picture's size, or nothing where they have no places in it.
at::Tensor shown(const at::Tensor& values, const AttributeOptions& options) {
  if (options.at.empty()) return values;
  if (values.dim() != 4) return {};
  return at::upsample_nearest2d(values.sum(1, /*keepdim=*/true), {options.height, options.width});
}

/// Writes the method's tensor and pictures into the folder. Gives its row of the sheet, which begins with
/// what the network saw.
std::vector<sal::ContactSheetCell> write_pictures(const fs::path& folder, const std::string& method,
                                                  const sal::Attribution& attribution,
                                                  const at::Tensor& values, const sal::Image& seen,
                                                  const std::string& caption) {
  sal::save_pt(folder / (method + ".pt"), attribution.values);
  std::vector<sal::ContactSheetCell> row{{seen, spaced(caption)}};
  const auto show = [&](const std::string& view, sal::Image picture) {
    sal::save_image(folder / (method + "_" + view + ".png"), picture);
    row.push_back({std::move(picture), spaced(view)});
  };
  if (!values.defined()) return row;
  const bool over = attribution.values_of == sal::ValuesOf::regions;
  for (const View& view : four_views()) {
    show(view.name, over ? view.processor(values, seen) : view.processor(values));
  }
  show("overlay", sal::AttributionProcessor{overlay_options(attribution.values_of)}(values, seen));
  return row;
}

/// One row for each method.
void write_sheet(const fs::path& path, const std::vector<std::vector<sal::ContactSheetCell>>& rows) {
  constexpr int legible = 224;  // so that captions fit under the pictures of a small network
  std::vector<sal::ContactSheetCell> cells;
  for (const auto& row : rows) cells.insert(cells.end(), row.begin(), row.end());
  const sal::Image& seen = cells.front().picture;
  sal::save_image(
      path, sal::contact_sheet(cells, {.columns = rows.size() > 1 ? static_cast<int>(rows.front().size()) : 0,
                                       .cell_height = std::max(legible, seen.height()),
                                       .cell_width = std::max(legible, seen.width())}));
}

nlohmann::json predictions(const sal::Explained& attribution, const sal::Labels& labels, std::int64_t top) {
  auto list = nlohmann::json::array();
  if (attribution.logits.dim() == 1) return list;  // a bare score
  for (const sal::Prediction& p : sal::top_k(attribution.logits, labels, top, attribution.output_type)) {
    std::cout << p.label << ' ' << p.probability << '\n';
    list.push_back({{"index", p.index}, {"label", p.label}, {"probability", p.probability}});
  }
  return list;
}

/// Prints the predictions of the whole model and what is explained, and gives what prediction.json holds.
nlohmann::json summary_of(const sal::Explained& whole, const sal::Attribution& attribution,
                          const sal::Labels& labels, const AttributeOptions& options) {
  nlohmann::json summary;
  if (!options.entry.empty()) summary["entry"] = options.entry;
  if (!options.at.empty()) summary["at"] = options.at;
  summary["top"] = predictions(whole, labels, options.top);
  std::cout << "target: ";
  if (options.neuron.empty()) {
    const auto target = attribution.target.item<std::int64_t>();
    summary["target"] = target;
    summary["target_label"] = label_of(target, labels);
    if (!labels.empty()) std::cout << label_of(target, labels) << ", ";
    std::cout << "class " << target;
  } else {
    summary["target"] = nullptr;
    summary["target_label"] = "neuron " + options.neuron;
    std::cout << "neuron " << options.neuron;
  }
  summary["score"] = number(attribution.score);
  std::cout << ", score " << number(attribution.score) << '\n';
  return summary;
}

/// A line each: name, type, shape of the output.
void list_layers(const sal::GraphModel& model, const at::Tensor& input) {
  const std::vector<sal::Layer> layers = model.layers(input);
  std::size_t longest = 0;
  for (const sal::Layer& layer : layers) longest = std::max(longest, layer.path.size());
  for (const sal::Layer& layer : layers) {
    std::cout << std::left << std::setw(static_cast<int>(longest) + 2) << layer.path << layer.type;
    if (!layer.shape.empty()) std::cout << ' ' << at::IntArrayRef(layer.shape);
    std::cout << '\n';
  }
}

void run(AttributeOptions options) {
  if (options.threads > 0) at::set_num_threads(options.threads);
  at::manual_seed(options.seed);
  const ProgressLine progress;
  progress.at(0, 1, "loading");
  if (const std::string taken = take_input(options); !taken.empty() && !options.list_layers) {
    progress.clear();
    std::cout << taken << '\n';
  }

  const sal::Labels names = options.labels.empty() ? sal::Labels{} : sal::load_labels(options.labels);
  const auto channels = static_cast<int>(options.mean.size());
  const sal::Image image = options.list_layers ? sal::Image(options.height, options.width, channels)
                                               : sal::load_image(options.image);
  const at::Device where = device(options);
  const sal::GraphModel model = loaded_model(options);
  const Preprocess preprocess = preprocessor(options);
  const at::Tensor input = preprocess(image).to(where, dtype(options));
  if (options.list_layers) return list_layers(model, input);
  const sal::Labels labels = class_labels(names, model, input);
  const std::optional<std::int64_t> index = class_index(options.target, labels);
  const sal::Image seen = preprocess.picture(input);

  // What cannot be written is better known before the work than after it.
  const fs::path folder = options.output;
  const fs::path report = options.report;
  if (!folder.empty()) {
    make_folder(folder);
    sal::save_image(folder / "input.png", seen);
  }
  if (report.has_parent_path()) make_folder(report.parent_path());

  std::string under_way;
  const Subject subject = subject_of(options, model, input, baseline(options, preprocess));
  const auto tell = [&](const sal::Progress& p) {
    progress.at(p.done, p.total, under_way);
    return true;
  };
  const auto known =
      methods(subject.model, options, subject.baseline, tell, subject.score, options.at.empty());
  const bool part = !options.at.empty() || !options.neuron.empty();
  const bool several = options.methods.size() > 1;
  std::vector<std::vector<sal::ContactSheetCell>> sheet;
  nlohmann::json summary;
  auto reported = nlohmann::json::array();
  for (const std::string& method : options.methods) {
    under_way = method;
    progress.at(0, 1, under_way);
    const auto start = std::chrono::steady_clock::now();
    const sal::Attribution attribution = known.at(method)(subject.input, {index});
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    progress.clear();
    if (summary.empty()) {
      const auto whole = [&] {
        return sal::GradientAttributor{model}.predict(
            input, sal::TargetSelector{sal::ArgMax{}, sal::Logit{}, output_type(options)});
      };
      summary = summary_of(part ? whole() : sal::Explained(attribution), attribution, labels, options);
    }
    const nlohmann::json figures = figures_of(attribution, seconds.count());
    summary["methods"][method] = figures;
    const at::Tensor& values = attribution.values;
    std::cout << method << ": shape " << values.sizes() << ", minimum " << number(values.min())
              << ", maximum " << number(values.max());
    if (attribution.standard_error.defined())
      std::cout << ", relative standard error " << number(attribution.standard_error);
    std::cout << '\n';
    const at::Tensor map = shown(values, options);
    if (!folder.empty()) {
      sheet.push_back(write_pictures(folder, method, attribution, map, seen, several ? method : "input"));
    }
    if (!map.defined()) {
      std::cout << method << ": what '" << options.at
                << "' gives has no places in the picture, so there is no map of it\n";
    } else if (!report.empty()) {
      reported.push_back(report_method(method, attribution, map, figures));
    }
    if (attribution.nothing_positive.defined() && attribution.nothing_positive.item<bool>()) {
      std::cout << method << ": nothing in the layer speaks for the target, the map is empty\n";
    }
    if (attribution.converged.defined() && !attribution.converged.item<bool>()) {
      std::cout << method << ": the tolerance is not met" << after(attribution) << '\n';
    }
  }
  if (!folder.empty()) {
    // A label that is not UTF-8 gets replacement characters.
    const std::string text = summary.dump(2, ' ', false, nlohmann::json::error_handler_t::replace);
    sal::write_file_atomically(folder / "prediction.json", text + "\n");
    write_sheet(folder / "figure.png", sheet);
  }
  if (!report.empty()) {
    sal::write_file_atomically(report, report_page(options, where.str(), seen, summary, std::move(reported)));
  }
}

}  // namespace

int attribute_command(const std::string& called, int argc, char** argv) {
  AttributeOptions options;
  return run_program(
      called, options, [&] { return parse(called, argc, argv, options); }, [&] { run(options); });
}
