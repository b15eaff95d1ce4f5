// The main job: a classifier and a picture in, predictions and attribution pictures out.

#include <ATen/Parallel.h>
#include <salience/salience.hpp>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <iomanip>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <string>
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
    text << " after " << attribution.copies.item<std::int64_t>() << " noisy copies, with a standard error of "
         << number(attribution.standard_error) << "; more --samples may meet it";
  } else {
    text << " after " << attribution.evaluations.item<std::int64_t>() << " gradients";
  }
  return text.str();
}

/// Writes the method's tensor and pictures into the folder. Gives its row of the sheet, which begins with
/// what the network saw.
std::vector<sal::ContactSheetCell> write_pictures(const fs::path& folder, const std::string& method,
                                                  const sal::Attribution& attribution, const sal::Image& seen,
                                                  const std::string& caption) {
  const at::Tensor& values = attribution.values;
  sal::save_pt(folder / (method + ".pt"), values);
  std::vector<sal::ContactSheetCell> row{{seen, spaced(caption)}};
  const auto show = [&](const std::string& view, sal::Image picture) {
    sal::save_image(folder / (method + "_" + view + ".png"), picture);
    row.push_back({std::move(picture), spaced(view)});
  };
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

nlohmann::json predictions(const sal::Attribution& attribution, const sal::Labels& labels, std::int64_t top) {
  auto list = nlohmann::json::array();
  if (attribution.logits.dim() == 1) return list;  // a bare score
  for (const sal::Prediction& p : sal::top_k(attribution.logits, labels, top, attribution.output_type)) {
    std::cout << p.label << ' ' << p.probability << '\n';
    list.push_back({{"index", p.index}, {"label", p.label}, {"probability", p.probability}});
  }
  return list;
}

/// Prints predictions and target, and gives what prediction.json holds.
nlohmann::json summary_of(const sal::Attribution& attribution, const sal::Labels& labels, std::int64_t top) {
  nlohmann::json summary;
  summary["top"] = predictions(attribution, labels, top);
  const auto target = attribution.target.item<std::int64_t>();
  summary["target"] = target;
  summary["target_label"] = label_of(target, labels);
  summary["score"] = number(attribution.score);
  std::cout << "target: ";
  if (!labels.empty()) std::cout << label_of(target, labels) << ", ";
  std::cout << "class " << target << ", score " << number(attribution.score) << '\n';
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
  const auto model = sal::load_model(options.model, model_options(options));
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
  const auto known = methods(model, options, baseline(options, preprocess), [&](const sal::Progress& p) {
    progress.at(p.done, p.total, under_way);
    return true;
  });
  const bool several = options.methods.size() > 1;
  std::vector<std::vector<sal::ContactSheetCell>> sheet;
  nlohmann::json summary;
  auto reported = nlohmann::json::array();
  for (const std::string& method : options.methods) {
    under_way = method;
    progress.at(0, 1, under_way);
    const auto start = std::chrono::steady_clock::now();
    const sal::Attribution attribution = known.at(method)(input, {index});
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    progress.clear();
    if (summary.empty()) summary = summary_of(attribution, labels, options.top);
    const nlohmann::json figures = figures_of(attribution, seconds.count());
    summary["methods"][method] = figures;
    const at::Tensor& values = attribution.values;
    std::cout << method << ": shape " << values.sizes() << ", minimum " << number(values.min())
              << ", maximum " << number(values.max()) << '\n';
    if (!folder.empty()) {
      sheet.push_back(write_pictures(folder, method, attribution, seen, several ? method : "input"));
    }
    if (!report.empty()) reported.push_back(report_method(method, attribution, figures));
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
