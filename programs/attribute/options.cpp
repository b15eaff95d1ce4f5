#include "options.hpp"

#include <CLI/CLI.hpp>

int parse(const std::string& called, int argc, char** argv, AttributeOptions& options) {
  CLI::App app("Shows what an image classifier looked at: predictions and attribution pictures.", called);
  app.footer(
      "Example:\n  " + called +
      " --model vgg16.pt2 --image sushi.png --labels imagenet_labels.txt --output out\n"
      "\n"
      "Writes into --output input.png, prediction.json and figure.png, and for each method METHOD.pt (the "
      "raw\n"
      "attribution, for torch.load) and "
      "METHOD_{no_activation,relu_hot,abs_coolwarm,abs_grayscale,overlay}.png.\n"
      "--report writes one self-contained HTML page, instead or as well.\n"
      "Exit status: 0 done; 1 something is wrong with a file or the model; 2 wrong usage.");
  app.option_defaults()->always_capture_default();

  app.add_option("--model", options.model, "torch.export program (.pt2) or TorchScript file (.pt)")
      ->required();
  app.add_option("--image", options.image, "picture: PNG, JPEG, BMP, ...");
  app.add_option("--output", options.output, "folder for the results, made if missing");
  app.add_option("--report", options.report,
                 "one HTML page with everything, to open or send; needs no --output");
  app.add_option("--labels", options.labels,
                 "text file, one class name a line; a single one is that of class 1 of a single logit");
  app.add_option("--top", options.top, "how many predictions to show")->check(CLI::Range(1, 1'000'000));
  add_method_options(app, options);
  app.add_flag("--list-layers", options.list_layers,
               "print the model's layers (name, type, shape of the output) and end");
  app.add_option("--target", options.target, "class to explain: argmax, an index, or a label");
  app.add_option("--at", options.at,
                 "explain what a layer gives instead of the picture, as features.10, or what it takes, "
                 "features.10:input; the pictures show the layer's places");
  app.add_option("--neuron", options.neuron,
                 "explain a value of a layer instead of a class, LAYER:CHANNEL,Y,X, or a whole channel, "
                 "LAYER:CHANNEL")
      ->excludes("--target");
  add_settings(app, options);
  return parse(app, argc, argv, options, [&options] {
    if (!options.list_layers && options.image.empty()) throw CLI::RequiredError("--image");
    if (!options.list_layers && options.output.empty() && options.report.empty()) {
      throw CLI::RequiredError("--output or --report");
    }
  });
}
