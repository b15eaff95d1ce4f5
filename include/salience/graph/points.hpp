// Places in a graph where it can be cut, and the graph until there.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <torch/script.h>

#include <salience/error.hpp>
#include <salience/graph/aliases.hpp>
#include <salience/graph/collector.hpp>
#include <salience/graph/convolutions.hpp>
#include <salience/graph/layers.hpp>
#include <salience/graph/marks.hpp>
#include <salience/graph/needed.hpp>
#include <salience/graph/nodes.hpp>
#include <salience/tensor/layer_point.hpp>

namespace salience::detail {

/// A tensor that can be cut at.
struct CutPlace {
  torch::jit::Value* value;
  torch::jit::Node* mark;  ///< behind which it is as the layer gives or takes it
};

/// What stands at a position in a tuple, and in the tuples in it.
inline torch::jit::Value* entry_of(torch::jit::Value* value, const LayerPoint& point) {
  const c10::TypePtr whole = value->type();
  if (!point.input) {
    for (const std::size_t i : point.position) {
      const torch::jit::Node* tuple = value->node();
      if (tuple->kind() != c10::prim::TupleConstruct || i >= tuple->inputs().size()) {
        throw ModelError(concat("the layer '", point.layer, "' gives ", whole->repr_str(),
                                ", in which there is no '", point.text(), "'"));
      }
      value = tuple->input(i);
    }
  }
  if (value->type()->kind() != c10::TypeKind::TensorType) {
    const bool tuple = value->node()->kind() == c10::prim::TupleConstruct;
    throw ModelError(concat("the layer '", point.layer, "' gives ", value->type()->repr_str(),
                            ", not a tensor: name ",
                            tuple ? concat("a place in it, as '", point.text(), "[0]'")
                                  : std::string("a layer inside or around it")));
  }
  return value;
}

/// Where a point is: once for each use of its layer, in the order of the program.
inline std::vector<CutPlace> places_of(torch::jit::Graph& graph, const LayerPoint& point) {
  std::vector<CutPlace> places;
  bool known = false;
  const auto position = point.position.empty() ? 0 : static_cast<std::int64_t>(point.position.front());
  for (torch::jit::Node* mark : marks_of(graph)) {
    if (mark->s(Mark::path()) != point.layer) continue;
    known = true;
    if (mark->hasAttribute(Mark::input()) != point.input) continue;
    if (point.input && mark->i(Mark::input()) != position) continue;
    places.push_back({entry_of(mark->input(0), point), mark});
  }
  if (!places.empty()) return places;
  if (known) {
    throw ModelError(concat("the layer '", point.layer, "' ", point.input ? "takes" : "gives", " no tensor",
                            point.position.empty() ? "" : concat(" in position ", position)));
  }
  const std::vector<torch::jit::Node*> convolutions = convolutions_of(graph);
  for (std::size_t i = 0; i < convolutions.size() && !point.input; ++i) {
    if (point.layer != convolution_name(i)) continue;
    torch::jit::Node* end = convolutions[i];
    mark_output(end->output(), end, {point.layer, "Convolution"}, [](const torch::jit::Node*) {});
    torch::jit::Node* alias = end->next();
    return {{alias->output(), alias->next()}};
  }
  throw unknown_layer(point.layer, graph);
}

inline ModelError no_such_use(const LayerPoint& point, std::size_t count) {
  return ModelError(concat("the layer '", point.layer, "' is used ", count, count == 1 ? " time" : " times",
                           ": there is no '", point.text(), "'"));
}

/// An element of a list of tensors, from 0 or from the end, -1; the run fails with that message if there are
/// no more than `fewest`.
inline torch::jit::Value* element_or_failure(torch::jit::Graph& graph, torch::jit::Value* list,
                                             std::int64_t index, std::int64_t fewest,
                                             const std::string& message) {
  torch::jit::Value* count = graph.insert(c10::aten::len, {list});
  torch::jit::Value* few = graph.insert(c10::aten::le, {count, graph.insertConstant(fewest)});
  torch::jit::Node* branch = graph.insertNode(graph.create(c10::prim::If, {few}, 1));
  {
    torch::jit::Block* failing = branch->addBlock();
    const torch::jit::WithInsertPoint inside(failing);
    torch::jit::Value* text = graph.insertConstant(message);
    graph.insertNode(graph.create(c10::prim::RaiseException, {text, graph.insertConstant(c10::IValue())}, 0));
    failing->registerOutput(graph.insertNode(graph.createUninitialized(c10::TensorType::get()))->output());
  }
  {
    torch::jit::Block* giving = branch->addBlock();
    const torch::jit::WithInsertPoint inside(giving);
    giving->registerOutput(graph.insert(c10::aten::__getitem__, {list, graph.insertConstant(index)}));
  }
  return branch->output()->setType(c10::TensorType::get());
}

/// The value at a point, as an output of the graph can give it: nothing is written into it afterwards. Where
/// its layer is in a branch or loop, it is taken when that runs, and the run fails if it never does.
inline torch::jit::Value* value_at(torch::jit::Graph& graph, const LayerPoint& point,
                                   const Aliases& aliases) {
  const std::vector<CutPlace> places = places_of(graph, point);
  const auto kept = [&](const CutPlace& place) {
    if (!aliases.written_after(place.mark, behind_identities(place.value))) return place.value;
    const torch::jit::WithInsertPoint after(place.mark->next());
    return graph.insert(c10::aten::clone, {place.value});
  };
  const auto outside = [&](const CutPlace& place) { return place.mark->owningBlock() == graph.block(); };
  if (std::all_of(places.begin(), places.end(), outside)) {
    const std::size_t use = point.use.value_or(places.size() - 1);
    if (use >= places.size()) throw no_such_use(point, places.size());
    return kept(places[use]);
  }
  const Collector uses(graph, c10::TensorType::get());
  torch::jit::Value* list = graph.outputs().back();
  for (const CutPlace& place : places) {
    torch::jit::Value* value = kept(place);
    const torch::jit::WithInsertPoint after(value == place.value ? place.mark->next()
                                                                 : value->node()->next());
    graph.insert(c10::aten::append, {list, value});
  }
  const torch::jit::WithInsertPoint end(graph.return_node());
  const auto use = static_cast<std::int64_t>(point.use.value_or(0));
  return element_or_failure(
      graph, list, point.use ? use : -1, use,
      use == 0 ? concat("the layer '", point.layer, "' was not reached for this input")
               : concat("the layer '", point.layer, "' was not used ", use + 1, " times for this input"));
}

/// Several tensors as one row for each sample: see Parts.
inline torch::jit::Value* packed(torch::jit::Graph& graph, const std::vector<torch::jit::Value*>& values) {
  if (values.size() == 1) return values.front();
  const torch::jit::WithInsertPoint end(graph.return_node());
  std::vector<torch::jit::Value*> rows;
  rows.reserve(values.size());
  for (torch::jit::Value* value : values) {
    rows.push_back(
        graph.insert(c10::aten::flatten, {value, graph.insertConstant(1), graph.insertConstant(-1)}));
  }
  torch::jit::Value* list = graph.insertNode(graph.createList(c10::TensorType::get(), rows))->output();
  return graph.insert(c10::aten::cat, {list, graph.insertConstant(1)});
}

/// The parts of a row, which is a graph's input: see Parts. Each has the sizes that it is given, without the
/// batch.
inline std::vector<torch::jit::Value*> parted(torch::jit::Graph& graph, torch::jit::Value* row,
                                              const std::vector<std::vector<std::int64_t>>& shapes) {
  if (shapes.size() == 1) return {row};
  const torch::jit::WithInsertPoint first(*graph.nodes().begin());
  std::vector<torch::jit::Value*> parts;
  std::int64_t begin = 0;
  for (const std::vector<std::int64_t>& shape : shapes) {
    std::int64_t size = 1;
    for (const std::int64_t one : shape) size *= one;
    torch::jit::Value* part =
        graph.insert(c10::aten::narrow,
                     {row, graph.insertConstant(1), graph.insertConstant(begin), graph.insertConstant(size)});
    std::vector<std::int64_t> sizes{-1};
    sizes.insert(sizes.end(), shape.begin(), shape.end());
    parts.push_back(graph.insert(c10::aten::reshape, {part, graph.insertConstant(sizes)}));
    begin += size;
  }
  return parts;
}

inline void set_outputs(torch::jit::Graph& graph, const std::vector<torch::jit::Value*>& outputs) {
  while (!graph.outputs().empty()) graph.eraseOutput(graph.outputs().size() - 1);
  for (torch::jit::Value* output : outputs) graph.registerOutput(output);
}

/// Whether a mark of a value still says something: what gives the value is there.
inline auto still_given(const NeededNodes& needed, const torch::jit::Graph& graph) {
  return [&needed, &graph](const torch::jit::Value* value) {
    auto* const node = const_cast<torch::jit::Node*>(value->node());
    return node->kind() != c10::prim::Param && needed(outermost(node, graph));
  };
}

/// Removes what the outputs do not need.
inline void keep_needed(torch::jit::Graph& graph, const torch::jit::Module& object) {
  const Aliases aliases(graph, object);
  const NeededNodes needed(graph, aliases);
  remove_the_rest(graph, needed, still_given(needed, graph));
}

/// The marked graph with what these points give or take as its outputs, one by one.
inline std::shared_ptr<torch::jit::Graph> graph_giving(torch::jit::Graph& marked,
                                                       const torch::jit::Module& object,
                                                       const std::vector<LayerPoint>& points) {
  std::shared_ptr<torch::jit::Graph> graph = marked.copy();
  std::vector<torch::jit::Value*> values;
  {
    const Aliases aliases(*graph, object);
    for (const LayerPoint& point : points) values.push_back(value_at(*graph, point, aliases));
  }
  set_outputs(*graph, values);
  keep_needed(*graph, object);
  return graph;
}

/// The marked graph until these points: its output is what they give or take.
inline std::shared_ptr<torch::jit::Graph> graph_until(torch::jit::Graph& marked,
                                                      const torch::jit::Module& object,
                                                      const std::vector<LayerPoint>& points) {
  std::shared_ptr<torch::jit::Graph> graph = graph_giving(marked, object, points);
  const std::vector<torch::jit::Value*> values = graph->outputs().vec();
  set_outputs(*graph, {packed(*graph, values)});
  return graph;
}

}  // namespace salience::detail
