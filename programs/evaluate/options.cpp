#include "options.hpp"

#include <CLI/CLI.hpp>

#include "../common/metrics.hpp"

bool with_seeds(const EvaluateOptions& options, const std::string& method) {
  return options.seeds > 1 && method_takes(method, "seed");
}

int parse(const std::string& called, int argc, char** argv, EvaluateOptions& options) {
  CLI::App app("Compares attribution methods on an image classifier by figures over many pictures.", called);
  std::string footer =
      "Example:\n  " + called +
      " --model vgg16.pt2 --images photos --method vanilla,grad_cam --metrics deletion,road \\\n"
      "    --output out\n"
      "\n"
      "Explained is the class that the model predicts. Writes into --output metrics.csv\n"
      "(image,method,metric,value) and index.html. images/ and settings.json there let a run that was "
      "stopped\n"
      "go on: the same command computes what is missing.\n"
      "Exit status: 0 done; 1 something is wrong with a file or the model; 2 wrong usage.\n"
      "\n"
      "Metrics:\n";
  for (const MetricName& metric : metric_names()) {
    footer += "  " + metric.name + std::string(16 - metric.name.size(), ' ') + metric.meaning + "\n";
  }
  app.footer(footer);
  app.option_defaults()->always_capture_default();

  std::vector<std::string> metrics;
  for (const MetricName& metric : metric_names()) metrics.push_back(metric.name);
  app.add_option("--model", options.model, "torch.export program (.pt2) or TorchScript file (.pt)")
      ->required();
  app.add_option("--images", options.images, "folder of pictures: .png, .jpg, .jpeg, .bmp, .gif, .tga")
      ->required();
  app.add_option("--masks", options.masks,
                 "folder of masks, each with its picture's file name (or that with .png): 0 is outside, all "
                 "else inside");
  app.add_option("--labels", options.labels,
                 "text file, one class name a line; a single one is that of class 1 of a single logit");
  options.methods.clear();  // there is no default
  add_method_options(app, options)->required();
  app.add_option("--metrics", options.metrics, "what to measure, see below")
      ->required()
      ->delimiter(',')
      ->check(CLI::IsMember(metrics));
  app.add_option("--output", options.output, "folder for the results, made if missing")->required();
  add_sign_option(app, options.sign);
  add_settings(app, options);
  app.add_option(
         "--seeds", options.seeds,
         "number of seeds, from --seed on, that each picture is explained with by the methods that take "
         "one; from 2 on it is measured how alike their maps are. All metrics are of the first seed")
      ->check(CLI::Range(1, 100));
  const int status = parse(app, argc, argv, options, [&options] {
    const std::string metric = one_that_needs_masks(options.metrics);
    if (!metric.empty() && options.masks.empty()) {
      throw CLI::ValidationError("--metrics", metric + " needs --masks");
    }
  });
  drop_repeated(options.metrics);
  return status;
}
