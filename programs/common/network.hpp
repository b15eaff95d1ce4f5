// From the settings of the command line to the library's objects.
#pragma once

#include <salience/input/preprocessor.hpp>
#include <salience/method/baseline.hpp>
#include <salience/model/graph_model.hpp>
#include <salience/target/prediction.hpp>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "settings.hpp"

at::ScalarType dtype(const Settings& settings);

/// Throws ModelError if there is no such device.
at::Device device(const Settings& settings);

salience::OutputType output_type(const Settings& settings);

/// The model of the settings. Here alone, since the loaders take long to compile.
salience::GraphModel loaded_model(const Settings& settings);

/// Takes from the model's file what the command line did not say of the input: height, width and channels, of
/// a torch.export program. Gives a sentence that says which; empty if nothing was taken. Throws FileError for
/// a file that is no model, or whose input is no picture or another than the command line says.
std::string take_input(Settings& settings);

using Preprocess = salience::Preprocessor<salience::Resize, salience::ToTensor, salience::Normalize>;

Preprocess preprocessor(const Settings& settings);

/// A black picture as the model's input, on its device.
at::Tensor black(const Settings& settings, const Preprocess& preprocess);
/// A white one.
at::Tensor white(const Settings& settings, const Preprocess& preprocess);

/// The classes' names: of a single logit, which is asked for where there is one label only, both of them. The
/// input is any that the model takes.
salience::Labels class_labels(salience::Labels labels, const salience::GraphModel& model,
                              const at::Tensor& input);

/// Black is black as a picture; zero is what the network takes as zero, the mean colour.
salience::Baseline baseline(const Settings& settings, const Preprocess& preprocess);

/// The class that a target names: "argmax", an index, or a label. Checked against nothing yet: the selector
/// checks it against the model's output. Throws TargetError for a label that is not known.
std::optional<std::int64_t> class_index(const std::string& target, const salience::Labels& labels);

/// The class's label, or its index where there is none.
std::string label_of(std::int64_t index, const salience::Labels& labels);

/// Makes the folder if it is missing. Throws FileError if that fails.
void make_folder(const std::filesystem::path& folder);
