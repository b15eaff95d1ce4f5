// The command line of the program `attribute`.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

/// The names that --method takes.
inline std::vector<std::string> method_names() {
  return {"vanilla",
          "input_x_gradient",
          "smooth_grad",
          "smooth_grad_sq",
          "var_grad",
          "guided_backprop",
          "integrated_gradients",
          "guided_ig",
          "blur_ig",
          "idgi",
          "deconvnet",
          "grad_cam",
          "grad_cam_pp",
          "hires_cam",
          "xgrad_cam",
          "layer_cam",
          "eigen_cam",
          "guided_grad_cam"};
}

struct Options {
  std::string model;
  std::string image;
  std::string labels;
  std::string output;
  std::string report;
  std::vector<std::string> methods{"vanilla"};
  std::vector<std::string> layers;
  bool list_layers = false;
  std::string target = "argmax";
  std::int64_t top = 5;
  int height = 224;
  int width = 224;
  std::vector<float> mean{0.485F, 0.456F, 0.406F};
  std::vector<float> std{0.229F, 0.224F, 0.225F};
  std::string dtype = "float32";
  std::string prepare = "none";
  std::string device = "auto";
  int threads = 0;
  std::uint64_t seed = 0;
  std::int64_t samples = 50;
  double noise = 0.15;
  std::int64_t steps = 50;
  std::string baseline = "black";
  double tolerance = 0.0;
  std::int64_t chunk = 0;
};

/// Fills `options`. Gives the program's exit status if it should end here: 0 after --help, 2 for wrong usage;
/// else -1.
int parse(int argc, char** argv, Options& options);
