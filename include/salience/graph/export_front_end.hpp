// From a torch.export archive to a graph with marks at its layers.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <iterator>
#include <string>
#include <vector>

#include <torch/script.h>

#include <salience/error.hpp>
#include <salience/graph/export_archive.hpp>
#include <salience/graph/export_graph.hpp>
#include <salience/graph/input_sizes.hpp>
#include <salience/graph/marked_graph.hpp>
#include <salience/graph/object_copy.hpp>
#include <salience/tensor/thread_modes.hpp>

namespace salience::detail {

/// Which of an archive's models is meant.
inline std::string chosen_model(const ExportArchive& archive, const std::string& wanted) {
  const std::vector<std::string> models = archive.models();
  if (wanted.empty() && models.size() == 1) return models.front();
  if (std::find(models.begin(), models.end(), wanted) != models.end()) return wanted;
  std::vector<std::string> names;
  std::transform(models.begin(), models.end(), std::back_inserter(names), shortened);
  throw ModelError(concat(wanted.empty() ? "" : concat("there is no model '", shortened(wanted), "': "),
                          "the archive holds the models ", quoted(names),
                          "; name one by ModelOptions::model (--archived)"));
}

/// Opens an archive and reads a program of it, of that name where it holds several: gives what `use(archive,
/// program, name)` makes of it.
template <class Use>
auto read_export(const std::filesystem::path& path, const std::string& model, const Use& use) {
  constexpr std::int64_t schema = 8;
  const Recording recording;
  try {
    ExportArchive archive(path);
    const std::string name = chosen_model(archive, model);
    const Json program = archive.json(concat("models/", name, ".json"));
    const std::int64_t major = integer(program.at("schema_version").at("major"));
    if (major != schema) {
      throw ModelError(concat("is written in version ", major, " of torch.export's schema, of which version ",
                              schema,
                              " is known here; save it anew with a PyTorch that writes that (2.8 to 2.14)"));
    }
    return use(archive, program, name);
  } catch (const Json::exception& error) {
    const std::string what = error.what();
    const std::size_t text = what.find("] ");
    std::throw_with_nested(
        ModelError(concat("is damaged: its program is not what torch.export writes (",
                          shortened(text == std::string::npos ? what : what.substr(text + 2)), ")")));
  } catch (const c10::Error& error) {
    std::throw_with_nested(ModelError(concat("cannot be read: ", first_cause(error))));
  }
}

/// The marked graph of a program.
inline MarkedGraph export_front_end(const std::filesystem::path& path, const std::string& model,
                                    const Placement& place, const ArgumentChoice& choice) {
  require_floating(place);
  return read_export(path, model, [&](ExportArchive& archive, const Json& program, const std::string& name) {
    return ExportedGraph(archive, program, name, place, choice)();
  });
}

/// The sizes of a program's input, without its tensors being read.
inline InputSizes export_input_sizes(const std::filesystem::path& path, const std::string& model,
                                     const ArgumentChoice& choice) {
  return read_export(path, model, [&](const ExportArchive&, const Json& program, const std::string&) {
    const InputShape shape = explained_shape(program, exported_arguments(program), choice);
    return shape.batch_only ? InputSizes{} : shape.sizes;
  });
}

}  // namespace salience::detail
