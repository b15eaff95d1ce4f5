#include "settings.hpp"

#include <salience/error.hpp>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <iostream>
#include <set>

namespace {

/// "224x320" is height 224, width 320.
bool parse_size(const std::string& text, Settings& settings) {
  const char* end = text.data() + text.size();
  const auto height = std::from_chars(text.data(), end, settings.height);
  if (height.ec != std::errc{} || height.ptr == end || *height.ptr != 'x') return false;
  const auto width = std::from_chars(height.ptr + 1, end, settings.width);
  return width.ec == std::errc{} && width.ptr == end && settings.height > 0 && settings.width > 0;
}

/// The names as CLI11 shows what an option may be.
std::string braced(const std::vector<std::string>& names) {
  std::string all;
  for (const std::string& name : names) all += (all.empty() ? "{" : ",") + name;
  return all + '}';
}

/// Says of each option that was given, and that no method heeds, which ones would.
void warn_of_ignored(const CLI::App& app, const Settings& settings) {
  // Metrics heed two of them for themselves.
  const CLI::Option* metrics = app.get_option_no_throw("--metrics");
  const bool measured = metrics != nullptr && metrics->count() > 0;
  for (const std::string option : {"samples", "noise", "steps", "baseline", "tolerance", "layer", "chunk"}) {
    if (app.count("--" + option) == 0) continue;
    if (measured && (option == "baseline" || option == "chunk")) continue;
    const auto heeds = [&option](const std::string& method) { return method_takes(method, option); };
    if (std::ranges::any_of(settings.methods, heeds)) continue;
    std::string methods;
    for (const std::string& name : settings.methods) methods += (methods.empty() ? "" : ", ") + name;
    std::cerr << "warning: --" << option << " has no effect on " << methods << "; it is for "
              << methods_that_take(option) << '\n';
  }
}

/// Throws unless there is one value or there are three of both, and says what to write.
void require_channels(const Settings& settings) {
  const std::size_t mean = settings.mean.size(), std = settings.std.size();
  if (mean == std && (mean == 1 || mean == 3)) return;
  throw CLI::ValidationError("--mean and --std",
                             "have " + std::to_string(mean) + " and " + std::to_string(std) +
                                 " numbers: a colour model takes three of each, as --mean 0.5,0.5,0.5 --std "
                                 "0.25,0.25,0.25, one that takes gray one of each, as --mean 0.5 --std 0.25");
}

}  // namespace

void drop_repeated(std::vector<std::string>& names) {
  std::set<std::string> seen;
  std::erase_if(names, [&seen](const std::string& name) { return !seen.insert(name).second; });
}

CLI::Option* add_method_options(CLI::App& app, Settings& settings) {
  const std::vector<std::string> names = method_names();
  const auto known = [names](const std::string& name) -> std::string {
    if (std::ranges::find(names, name) != names.end()) return {};
    return salience::ArgumentError::unknown_name("method", name, names).what();
  };
  CLI::Option* method =
      app.add_option("--method", settings.methods, "attribution method; several: a,b or a b")
          ->delimiter(',')
          ->check(CLI::Validator(known, braced(names)));
  app.add_option("--layer", settings.layers,
                 "layer of " + methods_that_take("layer") +
                     ", by its name in Python; several give the mean of their maps; default: the last "
                     "convolution");
  return method;
}

void add_settings(CLI::App& app, Settings& settings) {
  app.add_option("--size", settings.size,
                 "input size HEIGHTxWIDTH; of a torch.export program by default what its file says")
      ->check([&settings](const std::string& text) {
        settings.size_given = true;
        return parse_size(text, settings)
                   ? ""
                   : "a size is HEIGHTxWIDTH, for instance 224x224, not '" + text + "'";
      });
  app.add_option("--mean", settings.mean, "mean of each channel (one value: the model takes gray)")
      ->delimiter(',')
      ->each([&settings](const std::string&) { settings.mean_given = true; });
  app.add_option("--std", settings.std, "standard deviation of each channel")->delimiter(',');
  app.add_option("--dtype", settings.dtype, "type to compute in")
      ->check(CLI::IsMember({"float32", "float64", "bfloat16"}));
  app.add_option(
         "--output-type", settings.output_type,
         "what the model gives: logits (a single one is that of a yes-or-no classifier), or "
         "probabilities, where it ends in a softmax or sigmoid; auto: probabilities where several add "
         "up to 1, else logits")
      ->check(CLI::IsMember({"auto", "logits", "probabilities"}));
  app.add_option(
      "--entry", settings.entry,
      "what to explain of a model that returns a dict or a tuple: a key, a position, or their path, "
      "aux.1");
  app.add_option("--archived", settings.archived, "which model of a torch.export archive that holds several");
  app.add_option(
         "--bind", settings.bind,
         "an argument of the model that is held fixed, NAME=VALUE, by its name or position: a tensor's file "
         "(.pt), a number, True, False, None or a text; a tensor of one row is that of every picture")
      ->check([](const std::string& text) {
        const std::size_t sign = text.find('=');
        return sign == std::string::npos || sign == 0
                   ? "an argument is NAME=VALUE, for instance scale=0.5, not '" + text + "'"
                   : std::string();
      });
  app.add_option("--prepare", settings.prepare, "fast: fold BatchNorm, channels-last; same up to rounding")
      ->check(CLI::IsMember({"none", "fast"}));
  app.add_option("--device", settings.device, "where to compute")
      ->check(CLI::IsMember({"auto", "cpu", "cuda"}));
  app.add_option("--threads", settings.threads, "threads of LibTorch; 0: its own choice")
      ->check(CLI::Range(0, 4096));
  app.add_option("--samples", settings.samples,
                 "noisy copies of " + methods_that_take("samples") + ", at most")
      ->check(CLI::Range(1, 1'000'000));
  app.add_option("--noise", settings.noise, "their noise, as a fraction of the input's range")
      ->check(CLI::Range(0.0, 1e6));
  app.add_option("--steps", settings.steps, "gradients along the path of " + methods_that_take("steps"))
      ->check(CLI::Range(1, 1'000'000));
  app.add_option("--baseline", settings.baseline,
                 "where the path of " + methods_that_take("baseline") +
                     " begins: black, zero (the mean colour), blur, or a picture's file");
  app.add_option(
         "--tolerance", settings.tolerance,
         "0: as many --samples and --steps as asked for. Else integrated_gradients and blur_ig take as many "
         "as "
         "this relative completeness and five times it as the map's error need, and the smooth_grad methods "
         "stop early at this relative standard error")
      ->check(CLI::Range(0.0, 1e6));
  app.add_option("--chunk", settings.chunk, "evaluations at once; 0: chosen by memory")
      ->check(CLI::Range(0, 1'000'000));
  app.add_option("--seed", settings.seed, "seed of whatever is random in the model or a method");
}

int parse(CLI::App& app, int argc, char** argv, Settings& settings, const std::function<void()>& check) {
  try {
    app.parse(argc, argv);
    check();
    require_channels(settings);
    for (const float value : settings.std) {
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
  drop_repeated(settings.methods);
  warn_of_ignored(app, settings);
  return -1;
}
