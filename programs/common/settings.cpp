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

/// "15x15", or more or fewer numbers: each at least 1. Empty if it is something else.
std::vector<std::int64_t> parse_sizes(const std::string& text) {
  std::vector<std::int64_t> sizes;
  const char *at = text.data(), *end = at + text.size();
  while (at != end) {
    const auto [next, error] = std::from_chars(at, end, sizes.emplace_back());
    const bool more = next != end && *next == 'x' && next + 1 != end;
    if (error != std::errc{} || sizes.back() < 1 || (next != end && !more)) return {};
    at = more ? next + 1 : next;
  }
  return sizes;
}

/// Takes "HEIGHTxWIDTH" into `sizes`.
CLI::Validator sizes_into(std::vector<std::int64_t>& sizes, const std::string& what) {
  return {[&sizes, what](const std::string& text) {
            sizes = parse_sizes(text);
            return sizes.size() == 2 ? ""
                                     : "a " + what + " is HEIGHTxWIDTH, for instance 8x8, not '" + text + "'";
          },
          ""};
}

/// "slic:50": a kind and its number, which has a default where a colon is missing. An error's sentence, or
/// "".
std::string parse_segments(const std::string& text, SegmentsChoice& choice) {
  using Kind = SegmentsChoice::Kind;
  const std::size_t colon = text.find(':');
  const std::string kind = text.substr(0, colon),
                    number = colon == std::string::npos ? "" : text.substr(colon + 1);
  if (kind == "grid") {
    choice = {Kind::grid, 0.0, parse_sizes(number)};
    return choice.cells.size() == 2
               ? ""
               : "a grid is grid:ROWSxCOLUMNS, for instance grid:7x7, not '" + text + "'";
  }
  struct Known {
    const char* name;
    Kind kind;
    double usual, least, most;
  };
  for (const Known& known :
       {Known{"slic", Kind::slic, 50.0, 1.0, 1e6}, Known{"felzenszwalb", Kind::felzenszwalb, 100.0, 0.0, 1e9},
        Known{"quickshift", Kind::quickshift, 5.0, 1.0, 100.0}}) {
    if (kind != known.name) continue;
    choice = {known.kind, known.usual, {}};
    if (colon == std::string::npos) return "";
    const auto [rest, error] = std::from_chars(number.data(), number.data() + number.size(), choice.number);
    const bool whole = error == std::errc{} && rest == number.data() + number.size();
    if (whole && choice.number >= known.least && choice.number <= known.most) return "";
    return std::string("a number of ") + known.name + " is from " +
           std::to_string(static_cast<int>(known.least)) + " to " +
           std::to_string(static_cast<int>(known.most)) + ", not '" + number + "'";
  }
  choice = {Kind::file, 0.0, {}};
  if (text.find('.') != std::string::npos) return "";
  return "there are no segments '" + text +
         "'; they are slic:NUMBER, felzenszwalb:SCALE, quickshift:KERNEL, "
         "grid:ROWSxCOLUMNS, or a picture's file whose colours are the segments";
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
  for (const std::string option : {"samples", "noise", "steps", "baseline", "tolerance", "segments", "window",
                                   "stride", "layer", "chunk", "seeds"}) {
    const CLI::Option* given = app.get_option_no_throw("--" + option);
    if (given == nullptr || given->count() == 0) continue;
    if (measured && (option == "baseline" || option == "chunk")) continue;
    const std::string taken = option == "seeds" ? "seed" : option;  // of methods, which take one
    const auto heeds = [&taken](const std::string& method) { return method_takes(method, taken); };
    if (std::ranges::any_of(settings.methods, heeds)) continue;
    std::string methods;
    for (const std::string& name : settings.methods) methods += (methods.empty() ? "" : ", ") + name;
    std::cerr << "warning: --" << option << " has no effect on " << methods << "; it is for "
              << methods_that_take(taken) << '\n';
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
                 "draws of " + methods_that_take("samples") +
                     ", at most; default: 50, of shapley_sampling 25, kernel_shap 2048, lime 1000, rise "
                     "8000, sobol 32, hsic 500")
      ->check(CLI::Range(1, 1'000'000));
  app.add_option("--noise", settings.noise, "their noise, as a fraction of the input's range")
      ->check(CLI::Range(0.0, 1e6));
  app.add_option("--steps", settings.steps,
                 "gradients along the path, or of the ascent, of " + methods_that_take("steps") +
                     "; default: 50, of xrai 100, of extremal_perturbation 800")
      ->check(CLI::Range(1, 1'000'000));
  app.add_option(
      "--baseline", settings.baseline,
      "where the path begins, or what replaces a part, of " + methods_that_take("baseline") +
          ": black, zero (the data's mean colour), mean (the picture's own), blur, a picture's file, or "
          "inpaint: filled from what stays around it, of occlusion, feature_ablation, "
          "shapley_sampling, shapley_exact, kernel_shap, lime");
  app.add_option("--tolerance", settings.tolerance,
                 "0: as many --samples and --steps as asked for. Else integrated_gradients and blur_ig take "
                 "as many steps as "
                 "it takes to come within this relative completeness, and its map within five times that. "
                 "Methods of --samples that state a "
                 "standard error stop early where it is at most this, relative to the map")
      ->check(CLI::Range(0.0, 1e6));
  app.add_option(
         "--segments", settings.segments,
         "the features of " + methods_that_take("segments") +
             ": slic:50, felzenszwalb:SCALE, quickshift:KERNEL, grid:ROWSxCOLUMNS, or a picture's file whose "
             "colours are the segments; default: grid:7x7, of shapley_exact grid:3x3")
      ->check(
          [&settings](const std::string& text) { return parse_segments(text, settings.segments_choice); });
  app.add_option("--window", settings.window_text,
                 "the window of occlusion, HEIGHTxWIDTH; default: a fifteenth of the input")
      ->check(sizes_into(settings.window, "window"));
  app.add_option("--stride", settings.stride_text,
                 "the steps of --window, HEIGHTxWIDTH; default: 1x1; without --window half of it")
      ->check(sizes_into(settings.stride, "stride"));
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
