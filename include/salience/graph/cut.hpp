// A graph in two: until some points, and from there on.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <torch/script.h>

#include <salience/error.hpp>
#include <salience/graph/aliases.hpp>
#include <salience/graph/marks.hpp>
#include <salience/graph/needed.hpp>
#include <salience/graph/nodes.hpp>
#include <salience/graph/points.hpp>
#include <salience/tensor/layer_point.hpp>

namespace salience::detail {

/// A graph in two at some points.
struct CutGraph {
  /// Takes what the whole takes. Gives what of the part before the points the part behind them reads besides
  /// what they give.
  std::shared_ptr<torch::jit::Graph> beside;
  /// Takes what the points give, as one row where there are several; what `beside` gives; and then those
  /// further inputs of the whole that it reads.
  std::shared_ptr<torch::jit::Graph> behind;
  std::vector<std::size_t> held;  ///< the places of those further inputs among the inputs of the whole
  bool in_branch = false;         ///< an input may take another way, on which a point is not reached
};

/// Parts a marked graph at points: by values, not by places in the program. What lies beside a layer, as the
/// other way around it in a residual block, is computed once before, not at each call.
class GraphCut {
 public:
  /// `by_sample`: which inputs of the graph have a row for each sample. `shapes`: of what the points give,
  /// without the batch; of a single one it is not looked at.
  GraphCut(torch::jit::Graph& marked, const torch::jit::Module& object, const std::vector<LayerPoint>& points,
           const std::vector<bool>& by_sample, const std::vector<std::vector<std::int64_t>>& shapes)
      : marked_(marked), object_(object), points_(points), graph_(marked.copy()) {
    const std::vector<torch::jit::Node*> all = nodes_of(*graph_);  // in the order of every copy
    const std::size_t count = marked.inputs().size();
    torch::jit::Value* start = graph_->insertInput(1, "layer")->setType(c10::TensorType::get());
    give_start(parted(*graph_, start, shapes));
    keep_unwritten(start);
    const Aliases aliases(*graph_, object);
    spread({start}, dependent_, aliases, [](const c10::TypePtr&) { return true; });
    std::vector<const torch::jit::Value*> given;
    for (std::size_t i = 0; i < count; ++i) {
      if (by_sample[i]) given.push_back(graph_->inputs()[i == 0 ? 0 : i + 1]);
    }
    spread(given, data_, aliases, holds_tensors);
    const NeededNodes needed(*graph_, aliases, [&](const torch::jit::Value* value) {
      const bool here = value->node()->owningBlock() == graph_->block();
      return here && value->type()->kind() == c10::TypeKind::TensorType && data_.contains(value) &&
             !dependent_.contains(value) && !aliases.written_after(value->node(), value);
    });
    if (!dependent_.contains(graph_->outputs().at(0))) {
      throw ModelError(concat("the model's output does not depend on ", named(points)));
    }
    cut_.beside = beside(all, needed.read());
    std::size_t place = 2;
    for (torch::jit::Value* value : needed.read()) {
      value->replaceAllUsesWith(graph_->insertInput(place++)->setType(value->type()));
    }
    remove_the_rest(*graph_, needed,
                    [&, still = still_given(needed, *graph_)](const torch::jit::Value* value) {
                      return dependent_.contains(value) && still(value);
                    });
    for (std::size_t i = count; i-- > 1;) {
      const std::size_t now = place + i - 1;
      if (graph_->inputs()[now]->uses().empty()) {
        graph_->eraseInput(now);
      } else {
        cut_.held.insert(cut_.held.begin(), i);
      }
    }
    cut_.behind = graph_;
  }

  const CutGraph& operator()() const noexcept { return cut_; }

 private:
  using Values = std::set<const torch::jit::Value*>;

  static std::string named(const std::vector<LayerPoint>& points) {
    std::string text;
    for (const LayerPoint& point : points) text += concat(text.empty() ? "'" : ", '", point.text(), "'");
    return text;
  }

  /// Lets all that comes after the points read `parts`.
  void give_start(const std::vector<torch::jit::Value*>& parts) {
    for (std::size_t i = 0; i < points_.size(); ++i) {
      const LayerPoint& point = points_[i];
      const std::vector<CutPlace> places = places_of(*graph_, point);
      for (const CutPlace& place : places) require_single(place.mark, point, places.size());
      const std::size_t use = point.use.value_or(places.size() - 1);
      if (use >= places.size()) throw no_such_use(point, places.size());
      const auto [value, mark] = places[use];
      if (Mark::is_alias(value->node())) {
        value->node()->replaceInput(0, parts[i]);
      } else {
        value->replaceAllUsesAfterNodeWith(mark, parts[i]);
      }
    }
  }

  /// Fails for a layer of which it is open which use an input replaces.
  void require_single(const torch::jit::Node* mark, const LayerPoint& point, std::size_t uses) {
    cut_.in_branch = cut_.in_branch || mark->owningBlock() != graph_->block();
    for (const torch::jit::Node* around = mark->owningBlock()->owningNode(); around;
         around = around->owningBlock()->owningNode()) {
      if (around->kind() == c10::prim::Loop) {
        throw ModelError(
            concat("the layer '", point.layer,
                   "' is in a loop, whose turns cannot be told apart: name a layer around the loop"));
      }
      if (uses > 1 && !point.use) {
        throw ModelError(concat("the layer '", point.layer, "' is used ", uses,
                                " times, in branches: say which use, as '", point.layer, "#0'"));
      }
    }
  }

  /// Who calls the graph keeps its tensor as it is.
  void keep_unwritten(torch::jit::Value* start) {
    const Aliases aliases(*graph_, object_);
    if (aliases.writers(start).empty()) return;
    const torch::jit::WithInsertPoint first(*graph_->nodes().begin());
    torch::jit::Value* copy = graph_->insert(c10::aten::clone, {start});
    start->replaceAllUsesAfterNodeWith(copy->node(), copy);
  }

  /// Adds to `values` what is computed from these, also through what is written into, of the types that
  /// count.
  template <class Counts>
  void spread(const std::vector<const torch::jit::Value*>& from, Values& values, const Aliases& aliases,
              const Counts& counts) const {
    values.insert(from.begin(), from.end());
    const std::vector<torch::jit::Node*> nodes = nodes_of(*graph_);
    const auto add = [&](const torch::jit::Value* value) {
      return counts(value->type()) && values.insert(value).second;
    };
    for (bool again = true; again;) {
      again = false;
      for (torch::jit::Node* const top : graph_->nodes()) {
        const std::vector<torch::jit::Node*> inside = with_blocks(top);
        const bool reads = std::any_of(inside.begin(), inside.end(), [&values](const auto* node) {
          const auto inputs = node->inputs();
          return std::any_of(inputs.begin(), inputs.end(),
                             [&values](const auto* input) { return values.contains(input); });
        });
        if (!reads) continue;
        for (torch::jit::Node* node : inside) {
          for (const torch::jit::Value* output : node->outputs()) again = add(output) || again;
          for (const torch::jit::Value* input : node->inputs()) {
            const auto& writers = aliases.writers(input);
            if (std::find(writers.begin(), writers.end(), node) == writers.end()) continue;
            for (const torch::jit::Node* other : nodes) {
              for (const torch::jit::Value* value : other->outputs()) {
                if (aliases.share(value, input)) again = add(value) || again;
              }
            }
          }
        }
      }
    }
  }

  /// The graph that gives these values, which are of a copy with the nodes `all`.
  std::shared_ptr<torch::jit::Graph> beside(const std::vector<torch::jit::Node*>& all,
                                            const std::vector<torch::jit::Value*>& values) {
    std::shared_ptr<torch::jit::Graph> graph = marked_.copy();
    const std::vector<torch::jit::Node*> same = nodes_of(*graph);
    std::vector<torch::jit::Value*> outputs;
    for (const torch::jit::Value* value : values) {
      if (value->node()->kind() == c10::prim::Param) {
        outputs.push_back(graph->inputs()[value->offset() == 0 ? 0 : value->offset() - 1]);
        continue;
      }
      const auto place = std::find(all.begin(), all.end(), value->node());
      outputs.push_back(same.at(static_cast<std::size_t>(place - all.begin()))->outputs()[value->offset()]);
    }
    set_outputs(*graph, outputs);
    keep_needed(*graph, object_);
    return graph;
  }

  torch::jit::Graph& marked_;
  const torch::jit::Module& object_;
  const std::vector<LayerPoint>& points_;
  std::shared_ptr<torch::jit::Graph> graph_;
  Values dependent_;  ///< what is computed from the points
  Values data_;       ///< what is computed from tensors with a row for each sample
  CutGraph cut_;
};

}  // namespace salience::detail
