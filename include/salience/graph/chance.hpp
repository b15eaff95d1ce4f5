// Tells of a model whose output is a matter of chance.
#pragma once

#include <array>
#include <cstddef>
#include <map>
#include <string>
#include <string_view>

#include <c10/util/Exception.h>
#include <torch/csrc/jit/ir/constants.h>
#include <torch/script.h>

#include <salience/error.hpp>
#include <salience/graph/dropout.hpp>
#include <salience/graph/nodes.hpp>

namespace salience::detail {

/// Whether this node is known to drop at random: a dropout with a training flag that is set, an attention
/// with a share to drop.
inline bool drops(const torch::jit::Node* node) {
  if (is_one_of(node, dropouts) || kind_of(node) == "aten::native_dropout") {
    return is_known(node->input(2), true) && !drops_nothing(node);
  }
  if (kind_of(node) != "aten::scaled_dot_product_attention") return false;
  const auto share = torch::jit::toIValue(node->input(4));
  return share && share->isDouble() && share->toDouble() > 0.0;
}

/// Whether this node is known to normalise by the statistics of the batch, so that samples depend on each
/// other.
inline bool uses_batch_statistics(const torch::jit::Node* node) {
  constexpr std::array<std::string_view, 4> norms{"aten::batch_norm", "aten::native_batch_norm",
                                                  "aten::_native_batch_norm_legit",
                                                  "aten::_native_batch_norm_legit_functional"};
  return is_one_of(node, norms) && is_known(node->input(5), true);
}

/// Whether this node draws random numbers.
inline bool draws(const torch::jit::Node* node) {
  constexpr std::array<std::string_view, 12> kinds{
      "aten::rand",      "aten::rand_like",  "aten::randn",    "aten::randn_like",
      "aten::bernoulli", "aten::bernoulli_", "aten::normal_",  "aten::uniform_",
      "aten::normal",    "aten::randint",    "aten::randperm", "aten::multinomial"};
  return is_one_of(node, kinds);
}

/// Warns, through LibTorch's handler, if the graph is known to give something else each time or for each
/// batch: as a file does that was traced in training mode, whose flags are constants.
inline void warn_of_chance(torch::jit::Graph& graph) {
  std::map<std::string_view, std::size_t> counts;
  bool training = false;
  for (const torch::jit::Node* node : nodes_of(graph)) {
    const bool as_in_training = drops(node) || uses_batch_statistics(node);
    if (as_in_training || draws(node)) ++counts[node->kind().toUnqualString()];
    training = training || as_in_training;
  }
  if (counts.empty()) return;
  std::string list;
  for (const auto& [kind, count] : counts) list += concat(list.empty() ? "" : ", ", count, " ", kind);
  TORCH_WARN("Salience: the model runs ", list,
             training
                 ? " as in training, so its maps are a matter of chance or of what else is in the batch; "
                   "call model.eval() before torch.export.export or torch.jit.trace"
                 : ", so its maps are a matter of chance; leave that out of what is exported");
}

}  // namespace salience::detail
