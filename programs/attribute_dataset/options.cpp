#include "options.hpp"

#include <CLI/CLI.hpp>

#include "../common/metrics.hpp"
#include "../common/views.hpp"

int parse(const std::string& called, int argc, char** argv, DatasetOptions& options) {
  CLI::App app(
      "Attributes a data set: any number of pictures, on one machine or, under mpirun, on many; a run that "
      "was stopped goes on where it was.",
      called);
  app.footer(
      "Examples:\n  " + called +
      " --model resnet50.pt --images photos --method vanilla --output out\n"
      "  mpirun -n 8 " +
      called +
      " --model resnet50.pt --manifest photos.csv --threads 1 --output out\n"
      "\n"
      "Writes into --output shards/ (for torch.load: dict(torch.load(\"shards/0000000.pt\"))), index.csv\n"
      "(sample,path,shard,position,target,score,status), log.jsonl, aggregates.json, mean_maps.pt, "
      "index.html\n"
      "and SHA256SUMS.\n"
      "Exit status: 0 done; 1 something is wrong with a file or the model; 2 wrong usage.");
  app.option_defaults()->always_capture_default();

  std::vector<std::string> metrics;
  for (const MetricName& metric : metric_names()) {
    if (metric.name != "randomization") metrics.push_back(metric.name);
  }
  std::vector<std::string> views{"overlay"};
  for (const View& view : four_views()) views.push_back(view.name);

  app.add_option("--model", options.model, "torch.export program (.pt2) or TorchScript file (.pt)");
  auto* images = app.add_option("--images", options.images, "folder of pictures, with the folders in it");
  app.add_option("--manifest", options.manifest,
                 "file that lists them: .csv with path,target,mask, else a path in each line, then tab, "
                 "target, tab, mask; target (argmax, an index, a label) and mask may be left out")
      ->excludes(images);
  app.add_option("--masks", options.masks,
                 "folder of masks, each with its picture's file name (or that with .png)");
  app.add_option("--labels", options.labels,
                 "text file, one class name a line; a single one is that of class 1 of a single logit");
  add_method_options(app, options);
  app.add_option("--metrics", options.metrics, "what to measure, as the program evaluate does")
      ->delimiter(',')
      ->check(CLI::IsMember(metrics));
  add_sign_option(app, options.sign);
  app.add_option("--output", options.output, "folder for the results, made if missing")->required();
  app.add_flag("--no-raw", options.no_raw, "leave the attributions themselves out of the shards");
  app.add_option("--views", options.views, "pictures to write of each sample and method; several: a,b")
      ->delimiter(',')
      ->check(CLI::IsMember(views));
  app.add_option("--batch", options.batch, "samples at once")->check(CLI::Range(1, 1'000'000));
  app.add_option("--shard", options.shard,
                 "samples in a shard; of a run that is killed only shards in hand "
                 "are lost")
      ->check(CLI::Range(1, 1'000'000));
  app.add_option("--readers", options.readers, "threads that decode pictures")->check(CLI::Range(1, 4096));
  app.add_option("--writers", options.writers, "threads that write results")->check(CLI::Range(1, 4096));
  app.add_option("--progress", options.every, "seconds between lines of progress where there is no terminal")
      ->check(CLI::Range(0.0, 1e9));
  app.add_flag("--retry", options.retry, "compute shards again in which a sample was unreadable or failed");
  app.add_flag("--verify", options.verify, "compare the results in --output with their checksums, and end");
  add_settings(app, options);
  app.get_option("--threads")
      ->description("threads of LibTorch a rank; 0: OMP_NUM_THREADS, or its share of the cores");
  const int status = parse(app, argc, argv, options, [&options] {
    if (options.verify) return;
    if (options.model.empty()) throw CLI::RequiredError("--model");
    if (options.images.empty() && options.manifest.empty())
      throw CLI::RequiredError("--images or --manifest");
    const std::string metric = one_that_needs_masks(options.metrics);
    if (!metric.empty() && options.masks.empty() && options.manifest.empty()) {
      throw CLI::ValidationError("--metrics", metric + " needs masks");
    }
  });
  for (auto* names : {&options.metrics, &options.views}) drop_repeated(*names);
  return status;
}
