#include "options.hpp"

#include <CLI/CLI.hpp>
#include <charconv>
#include <iostream>

namespace {

/// "224x320" is height 224, width 320.
bool parse_size(const std::string& text, Options& options) {
  const char* end = text.data() + text.size();
  const auto height = std::from_chars(text.data(), end, options.height);
  if (height.ec != std::errc{} || height.ptr == end || *height.ptr != 'x') return false;
  const auto width = std::from_chars(height.ptr + 1, end, options.width);
  return width.ec == std::errc{} && width.ptr == end && options.height > 0 && options.width > 0;
}

}  // namespace

int parse(int argc, char** argv, Options& options) {
  CLI::App app{"Shows what a TorchScript image classifier looked at: predictions and attribution pictures."};
  app.footer(
      "Example:\n"
      "  attribute --model vgg16.pt --image sushi.png --labels imagenet_labels.txt --output out\n"
      "\n"
      "Writes into --output input.png, prediction.json and figure.png, and for each method METHOD.pt (the "
      "raw\n"
      "attribution, for torch.load) and "
      "METHOD_{no_activation,relu_hot,abs_coolwarm,abs_grayscale,overlay}.png.\n"
      "--report writes one self-contained HTML page, instead or as well.\n"
      "Exit status: 0 done; 1 something is wrong with a file or the model; 2 wrong usage.");
  app.option_defaults()->always_capture_default();

  app.add_option("--model", options.model, "TorchScript file (.pt)")->required();
  app.add_option("--image", options.image, "picture: PNG, JPEG, BMP, ...");
  app.add_option("--output", options.output, "folder for the results, made if missing");
  app.add_option("--report", options.report,
                 "one HTML page with everything, to open or send; needs no --output");
  app.add_option("--labels", options.labels, "text file, one class name a line");
  app.add_option("--top", options.top, "how many predictions to show")->check(CLI::Range(1, 1'000'000));
  app.add_option("--method", options.methods, "attribution method; may be given several times")
      ->check(CLI::IsMember(method_names()));
  app.add_option("--layer", options.layers,
                 "layer of the cam methods, by its name in Python; several give the mean of their maps; "
                 "default: the last "
                 "convolution");
  app.add_flag("--list-layers", options.list_layers,
               "print the model's layers (name, type, shape of the output) and end");
  app.add_option("--target", options.target, "class to explain: argmax, an index, or a label");
  std::string size = "224x224";
  app.add_option("--size", size, "input size HEIGHTxWIDTH")->check([&options](const std::string& text) {
    return parse_size(text, options) ? ""
                                     : "a size is HEIGHTxWIDTH, for instance 224x224, not '" + text + "'";
  });
  app.add_option("--mean", options.mean, "mean of each channel (one value: the model takes gray)")
      ->delimiter(',');
  app.add_option("--std", options.std, "standard deviation of each channel")->delimiter(',');
  app.add_option("--dtype", options.dtype, "type to compute in")
      ->check(CLI::IsMember({"float32", "float64", "bfloat16"}));
  app.add_option("--prepare", options.prepare, "fast: fold BatchNorm, channels-last; same up to rounding")
      ->check(CLI::IsMember({"none", "fast"}));
  app.add_option("--device", options.device, "where to compute")
      ->check(CLI::IsMember({"auto", "cpu", "cuda"}));
  app.add_option("--threads", options.threads, "threads of LibTorch; 0: its own choice")
      ->check(CLI::Range(0, 4096));
  app.add_option("--samples", options.samples, "noisy copies of the smooth_grad methods, at most")
      ->check(CLI::Range(1, 1'000'000));
  app.add_option("--noise", options.noise, "their noise, as a fraction of the input's range")
      ->check(CLI::Range(0.0, 1e6));
  app.add_option("--steps", options.steps,
                 "gradients along the path of integrated_gradients, guided_ig, blur_ig, idgi")
      ->check(CLI::Range(1, 1'000'000));
  app.add_option("--baseline", options.baseline,
                 "where that path begins: black, zero (the mean colour), blur, or a picture's file");
  app.add_option(
         "--tolerance", options.tolerance,
         "0: as many --samples and --steps as asked for. Else integrated_gradients and blur_ig take as many "
         "as "
         "this relative completeness and five times it as the map's error need, and the smooth_grad methods "
         "stop early at this relative standard error")
      ->check(CLI::Range(0.0, 1e6));
  app.add_option("--chunk", options.chunk, "evaluations at once; 0: chosen by memory")
      ->check(CLI::Range(0, 1'000'000));
  app.add_option("--seed", options.seed, "seed of whatever is random in the model or a method");

  try {
    app.parse(argc, argv);
    if (!options.list_layers && options.image.empty()) throw CLI::RequiredError("--image");
    if (!options.list_layers && options.output.empty() && options.report.empty()) {
      throw CLI::RequiredError("--output or --report");
    }
    if (options.mean.size() != options.std.size() || (options.mean.size() != 1 && options.mean.size() != 3)) {
      throw CLI::ValidationError("--mean and --std", "need one value each, or three each");
    }
    for (const float value : options.std) {
      if (!(value > 0.0F)) throw CLI::ValidationError("--std", "must be above 0");
    }
  } catch (const CLI::RequiredError& error) {
    // A mistyped name is why the right one is missing.
    for (const std::string& unknown : app.remaining()) std::cerr << "unknown argument: " << unknown << '\n';
    app.exit(error);
    return 2;
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  return -1;
}
