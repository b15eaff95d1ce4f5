// load_model: a model file of either kind.
#pragma once

#include <filesystem>
#include <string>

#include <salience/graph/model_file.hpp>
#include <salience/model/exported_model.hpp>
#include <salience/model/graph_model.hpp>
#include <salience/model/model_options.hpp>
#include <salience/model/script_model.hpp>

namespace salience {

/// Loads a torch.export program (see ExportedModel) or a TorchScript file (see ScriptModel), whichever the
/// file's content is. Loading TorchScript runs code from the file: load only what you trust.
///
///     const GraphModel model = load_model("resnet50.pt2", {.prepare = Prepare::fast});
///
/// Throws what their `load` throws; for a file that is neither, FileError, which says what it is and how to
/// export a model.
inline GraphModel load_model(const std::filesystem::path& path, const ModelOptions& options = {}) {
  return detail::kind_of_model(path) == detail::ModelFile::exported
             ? GraphModel(ExportedModel::load(path, options))
             : ScriptModel::load(path, options);
}

/// The sizes of the input that a model file names, without loading its parameters: see
/// GraphModel::input_sizes. Of the options those count that say which model and which input is meant. Throws
/// FileError as load_model.
inline InputSizes load_input_sizes(const std::filesystem::path& path, const ModelOptions& options = {}) {
  return detail::kind_of_model(path) == detail::ModelFile::exported
             ? ExportedModel::input_sizes_of(path, options)
             : InputSizes{};
}

}  // namespace salience
