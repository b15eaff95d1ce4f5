// The programs of a GraphModel: its graph with the layers tapped that someone asks for, rewritten and
// prepared.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <torch/csrc/jit/passes/dead_code_elimination.h>
#include <torch/script.h>

#include <salience/error.hpp>
#include <salience/graph/chains.hpp>
#include <salience/graph/cut.hpp>
#include <salience/graph/deep_lift.hpp>
#include <salience/graph/held_inputs.hpp>
#include <salience/graph/in_place.hpp>
#include <salience/graph/layers.hpp>
#include <salience/graph/marked_graph.hpp>
#include <salience/graph/marks.hpp>
#include <salience/graph/object_copy.hpp>
#include <salience/graph/output.hpp>
#include <salience/graph/prepare.hpp>
#include <salience/graph/product_names.hpp>
#include <salience/graph/relevance.hpp>
#include <salience/graph/runner.hpp>
#include <salience/graph/taps.hpp>
#include <salience/graph/writes.hpp>
#include <salience/model/graph_pass.hpp>
#include <salience/model/model_options.hpp>
#include <salience/tensor/composite.hpp>
#include <salience/tensor/deep_lift_rule.hpp>
#include <salience/tensor/layer_point.hpp>
#include <salience/tensor/parts.hpp>
#include <salience/tensor/tensor.hpp>
#include <salience/tensor/thread_modes.hpp>

namespace salience::detail {

/// Where a model with these options computes.
inline Placement placement(const ModelOptions& options) { return {options.device, options.dtype}; }

/// Changes a graph by a pass, and removes what nothing reads any more.
inline void rewrite(std::shared_ptr<torch::jit::Graph>& graph, const torch::jit::Module& object,
                    const GraphPass& pass) {
  if (!pass.run) throw ArgumentError(concat("the pass '", pass.name, "' has no function to run"));
  try {
    pass.run(graph, object);
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    std::throw_with_nested(
        ModelError(concat("the pass '", pass.name, "' cannot rewrite the model: ", first_cause(error))));
  }
  if (!graph) throw ModelError(concat("the pass '", pass.name, "' left no graph"));
  const WritesHeld held(graph);
  torch::jit::EliminateDeadCode(graph);
}

/// All that is built from one marked graph with these options and passes. Programs are built when they are
/// first asked for, and kept.
class GraphPrograms {
 public:
  /// How what a program leaves is read.
  enum class Reads {
    output,
    pairs,      ///< also what it leaves last, the output for a baseline
    relevance,  ///< what comes back is to be relevance
  };

  GraphPrograms(std::shared_ptr<const MarkedGraph> marked, ModelOptions options,
                std::vector<GraphPass> passes = {}, Reads reads = Reads::output)
      : marked_(std::move(marked)),
        options_(std::move(options)),
        passes_(std::move(passes)),
        reads_(reads),
        whole_(prepared(tapped_graph(*marked_->graph, marked_->object, {}))) {}

  const MarkedGraph& marked() const noexcept { return *marked_; }
  const ModelOptions& options() const noexcept { return options_; }

  /// The model alone.
  const Runner& whole() const noexcept { return whole_; }

  /// The model, which gives these layers too.
  const Runner& with(std::span<const std::string> layers) const {
    const std::vector<std::string> key(layers.begin(), layers.end());
    const std::lock_guard lock(building_);
    auto program = tapped_.find(key);
    if (program == tapped_.end()) {
      program = tapped_.emplace(key, prepared(tapped_graph(*marked_->graph, marked_->object, layers))).first;
    }
    return program->second;  // a map's elements stay where they are
  }

  /// The model, which tells of all its layers.
  Runner listing() const { return prepared(listing_graph(*marked_->graph)); }

  /// The same with one more pass, the last of its stage.
  std::shared_ptr<const GraphPrograms> rewritten(GraphPass pass) const {
    return rewritten(std::move(pass), reads_);
  }
  std::shared_ptr<const GraphPrograms> rewritten(GraphPass pass, Reads reads) const {
    std::shared_ptr<const MarkedGraph> marked = marked_;
    std::vector<GraphPass> passes = passes_;
    if (pass.stage == PassStage::before_taps) {
      const Recording recording;
      std::shared_ptr<torch::jit::Graph> graph = marked_->graph->copy();
      rewrite(graph, marked_->object, pass);
      marked = with_graph(std::move(graph));
    } else {
      passes.push_back(std::move(pass));
    }
    return std::make_shared<const GraphPrograms>(std::move(marked), options_, std::move(passes), reads);
  }

  /// The same, which is DeepLIFT's: see DeepLiftRewrite. Built when it is first asked for, and kept.
  std::shared_ptr<const GraphPrograms> deep_lifted(DeepLiftRule rule) const {
    const std::lock_guard lock(building_);
    std::shared_ptr<const GraphPrograms>& known = deep_lifted_[rule];
    if (!known) {
      known = rewritten({.name = "DeepLIFT",
                         .run = [rule](auto& graph, const auto& object) { deep_lift(graph, object, rule); },
                         .stage = PassStage::after_folding},
                        Reads::pairs);
    }
    return known;
  }

  /// The same, whose derivative is relevance: see RelevanceRewrite.
  std::shared_ptr<const GraphPrograms> relevant(const Composite& composite) const {
    const Recording recording;
    std::shared_ptr<torch::jit::Graph> graph = marked_->graph->copy();
    name_products(*graph);  // while it has its marks
    std::vector<GraphPass> passes = passes_;
    passes.push_back(
        {.name = "layer-wise relevance propagation",
         .run = [composite](auto& of, const auto& object) { propagate_relevance(of, object, composite); },
         .stage = PassStage::after_folding});
    return std::make_shared<const GraphPrograms>(with_graph(std::move(graph)), options_, std::move(passes),
                                                 Reads::relevance);
  }

  /// The same with an object of the same type.
  std::shared_ptr<const GraphPrograms> with_object(const torch::jit::Module& object) const {
    const Recording recording;
    auto marked = std::make_shared<const MarkedGraph>(marked_->graph, object, marked_->input, marked_->held,
                                                      marked_->parts);
    return std::make_shared<const GraphPrograms>(std::move(marked), options_, passes_, reads_);
  }

  /// The same until these points, which are its output: kept for who asks again.
  std::shared_ptr<const GraphPrograms> until(const std::vector<LayerPoint>& points) const {
    const Recording recording;
    std::string key;
    for (const LayerPoint& point : points) key += point.text() + ' ';
    const std::lock_guard lock(building_);
    if (const auto known = until_.find(key); known != until_.end()) return known->second;
    ModelOptions options = options_;
    options.output.clear();
    auto made = std::make_shared<const GraphPrograms>(
        with_graph(graph_until(*marked_->graph, marked_->object, points)), std::move(options), passes_,
        reads_);
    keep(until_, key, std::shared_ptr<const GraphPrograms>(made));
    return made;
  }

  /// What gives the tensors at these points, one by one.
  Runner giving(const std::vector<LayerPoint>& points) const {
    const Recording recording;
    return prepared(unmarked(graph_giving(*marked_->graph, marked_->object, points)));
  }

  /// The same from some points on.
  struct Cut {
    std::shared_ptr<const GraphPrograms> behind{};
    std::optional<Runner> beside{};   ///< see CutGraph; nothing where it gives nothing
    std::vector<std::size_t> held{};  ///< see CutGraph
    bool in_branch = false;           ///< see CutGraph
    /// In which dimension each of what `beside` gives has its samples; nothing of one that is the same for
    /// all.
    std::vector<std::optional<std::int64_t>> dimensions{};
  };

  /// The cut at these points, kept for who asks again. `by_sample` and `shapes`: see GraphCut. `complete`
  /// fills in the dimensions.
  template <class Complete>
  std::shared_ptr<const Cut> from(const std::vector<LayerPoint>& points, const std::vector<bool>& by_sample,
                                  const std::vector<std::vector<std::int64_t>>& shapes,
                                  const Complete& complete) const {
    const Recording recording;
    std::string key;
    for (std::size_t i = 0; i < points.size(); ++i) {
      key += points[i].text() + (points.size() > 1 ? concat(at::IntArrayRef(shapes[i])) : "") + ' ';
    }
    const std::lock_guard lock(building_);
    if (const auto known = cuts_.find(key); known != cuts_.end()) return known->second;
    const CutGraph graphs = GraphCut(*marked_->graph, marked_->object, points, by_sample, shapes)();
    std::optional<Parts> parts;
    if (points.size() > 1) parts.emplace(shapes);
    auto marked = std::make_shared<const MarkedGraph>(
        graphs.behind, marked_->object, marked_->input.of_batch(), HeldInputs(), std::move(parts));
    auto made = std::make_shared<Cut>();
    made->behind = std::make_shared<const GraphPrograms>(std::move(marked), options_, passes_, reads_);
    made->held = graphs.held;
    made->in_branch = graphs.in_branch;
    if (!graphs.beside->outputs().empty()) made->beside = prepared(unmarked(graphs.beside));
    complete(*made);
    keep(cuts_, key, std::shared_ptr<const Cut>(made));
    return made;
  }

  /// The tensor to explain in what a program leaves.
  at::Tensor explained(const torch::jit::Stack& outputs) const {
    const at::Tensor output = tensor_output(outputs.front(), options_.output);
    if (reads_ == Reads::pairs) return at::stack({output, tensor_output(outputs.back(), options_.output)}, 1);
    return reads_ == Reads::relevance ? begun(output) : output;
  }

 private:
  /// The marked graph with another graph of the same inputs.
  std::shared_ptr<const MarkedGraph> with_graph(std::shared_ptr<torch::jit::Graph> graph) const {
    return std::make_shared<const MarkedGraph>(std::move(graph), marked_->object, marked_->input,
                                               marked_->held, marked_->parts);
  }

  /// Remembers the last few: each may have weights of its own (Prepare::fast).
  template <class Made>
  static void keep(std::map<std::string, Made>& known, const std::string& key, const Made& made) {
    constexpr std::size_t most = 4;
    if (known.size() >= most) known.clear();
    known.emplace(key, made);
  }

  static std::shared_ptr<torch::jit::Graph> unmarked(std::shared_ptr<torch::jit::Graph> graph) {
    remove_marks(graph);
    return graph;
  }

  /// All passes behind the taps, in their order.
  Runner prepared(std::shared_ptr<torch::jit::Graph> graph) const {
    const Recording recording;
    const torch::jit::Module& object = marked_->object;
    const auto rewrite_at = [&](PassStage stage) {
      for (const GraphPass& pass : passes_) {
        if (pass.stage == stage) rewrite(graph, object, pass);
      }
    };
    rewrite_at(PassStage::before_folding);
    std::set<std::string> written = passes_.empty() ? marked_->written : written_attributes(*graph, object);
    const auto attempt = [](const char* failure, const auto& step) {
      try {
        return step();
      } catch (const Error&) {
        throw;
      } catch (const std::exception& error) {
        std::throw_with_nested(
            ModelError(concat("the model's program cannot be ", failure, ": ", first_cause(error))));
      }
    };
    // This computes what follows from constants, which may fail as it would at each call.
    const bool channels_last = options_.prepare == Prepare::fast &&
                               attempt("prepared", [&] { return prepare(graph, object, written); });
    rewrite_at(PassStage::after_folding);
    choose_in_place(*graph);
    cut_chains(*graph);
    return attempt("run", [&] {
      return Runner(graph, marked_, std::move(written), placement(options_), channels_last);
    });
  }

  std::shared_ptr<const MarkedGraph> marked_;
  ModelOptions options_;
  std::vector<GraphPass> passes_;
  Reads reads_;
  Runner whole_;
  mutable std::mutex building_;
  mutable std::map<std::vector<std::string>, Runner> tapped_;  ///< by their layers
  // By their points.
  mutable std::map<std::string, std::shared_ptr<const GraphPrograms>> until_;
  mutable std::map<std::string, std::shared_ptr<const Cut>> cuts_;
  mutable std::map<DeepLiftRule, std::shared_ptr<const GraphPrograms>> deep_lifted_;
};

}  // namespace salience::detail
