// A pass for full gradients: what each bias of a graph contributes to a score.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include <torch/csrc/jit/ir/constants.h>
#include <torch/script.h>

#include <salience/graph/dependence.hpp>
#include <salience/graph/functional.hpp>
#include <salience/graph/nodes.hpp>
#include <salience/graph/norms.hpp>
#include <salience/graph/rule_node.hpp>
#include <salience/tensor/ledger.hpp>
#include <salience/tensor/operator_kinds.hpp>

namespace salience::detail {

/// Puts, behind each operator that adds a constant to what depends on the input, one that hands on its value
/// and, on the way back, tells the ledger the constant times the gradient there.
class BiasTerms {
 public:
  BiasTerms(torch::jit::Graph& graph, const torch::jit::Module& object)
      : graph_(graph), depends_(graph, object, graph.inputs().at(1)) {}

  void operator()() {
    for (torch::jit::Node* node : nodes_of(graph_)) {
      if (!node->blocks().empty() || !depends_.reads(node)) continue;
      if (const std::optional<Constant> constant = constant_of(node)) tell(node, *constant);
    }
  }

 private:
  /// What is added to the first output of a node: what these values make of themselves.
  struct Constant {
    std::vector<torch::jit::Value*> values;
    /// For an output (N, ...): what broadcasts to it.
    std::function<at::Tensor(const torch::jit::Stack& values, const at::Tensor& output)> make;
    bool has_channels = false;  ///< the output is (N, C, ...), and the constant one number a channel
  };

  /// A number or a tensor times a factor, of each channel where it says so.
  static at::Tensor added(const c10::IValue& value, const at::Tensor& output, double factor,
                          bool of_channels) {
    if (value.isNone()) return {};
    if (!value.isTensor()) return at::full({}, value.toScalar(), output.options()).mul_(factor);
    const at::Tensor tensor = value.toTensor().detach().to(output.scalar_type());
    return (of_channels ? by_channel(tensor, output) : tensor).mul(factor);
  }

  /// (C) where the output (N, C, ...) has its channels; of one sample without its dimension (C, ...).
  static at::Tensor by_channel(const at::Tensor& tensor, const at::Tensor& output, std::int64_t channel = 1) {
    std::vector<std::int64_t> sizes(static_cast<std::size_t>(output.dim() - channel), 1);
    sizes.at(0) = tensor.numel();
    return tensor.reshape(sizes);
  }

  static Constant one(torch::jit::Value* value, double factor, bool of_channels) {
    return {{value},
            [factor, of_channels](const torch::jit::Stack& values, const at::Tensor& output) {
              return added(values.at(0), output, factor, of_channels);
            },
            of_channels};
  }

  std::optional<Constant> constant_of(const torch::jit::Node* node) const {
    const std::string_view kind = kind_of(node);
    const auto fixed = [&](std::size_t i) { return i < node->inputs().size() && !depends_(node->input(i)); };
    if (is_convolution(kind) || kind == "aten::linear") {
      if (!fixed(2) || depends_(node->input(1))) return std::nullopt;
      if (kind == "aten::linear") return one(node->input(2), 1.0, false);
      const std::size_t spatial = kind.ends_with("1d")   ? 1
                                  : kind.ends_with("2d") ? 2
                                  : kind.ends_with("3d") ? 3
                                                         : 0;
      return Constant{{node->input(2)},
                      [spatial](const torch::jit::Stack& values, const at::Tensor& output) {
                        if (!values.at(0).isTensor()) return at::Tensor();
                        const std::int64_t channel =
                            spatial == 0 ? 1 : output.dim() - 1 - static_cast<std::int64_t>(spatial);
                        return by_channel(values.at(0).toTensor().detach(), output, channel);
                      },
                      true};
    }
    if (kind == "aten::addmm" || kind == "aten::baddbmm") {
      const auto beta = torch::jit::toIValue(node->input(3));
      if (!fixed(0) || !beta || !beta->isScalar()) return std::nullopt;
      return one(node->input(0), beta->toScalar().toDouble(), false);
    }
    if ((kind == "aten::batch_norm" || kind == "aten::instance_norm") && is_known(node->input(5), false)) {
      const auto eps = torch::jit::toIValue(node->input(7));
      if (!eps) return std::nullopt;
      return Constant{{node->input(1), node->input(2), node->input(3), node->input(4)},
                      [eps = eps->toDouble()](const torch::jit::Stack& values, const at::Tensor& output) {
                        return by_channel(bias_of_batch_norm(values, eps), output);
                      },
                      true};
    }
    if (const auto norm = norm_places(node)) {
      const std::size_t place = norm->weight + 1;
      if (!fixed(place) || kind == "aten::rms_norm") return std::nullopt;
      return one(node->input(place), 1.0, norm->over != NormPlaces::Over::last);
    }
    const bool minus = kind == "aten::sub" || kind == "aten::subtract";
    if ((kind == "aten::add" || minus || kind == "aten::rsub") && (fixed(0) || fixed(1))) {
      const std::size_t place = fixed(0) ? 0 : 1;
      c10::IValue alpha(1.0);
      if (node->inputs().size() > 2) {
        const auto known = torch::jit::toIValue(node->input(2));
        if (!known || !known->isScalar()) return std::nullopt;
        alpha = *known;
      }
      if (!depends_(node->input(1 - place))) return std::nullopt;
      const bool scaled = kind == "aten::rsub" ? place == 0 : place == 1;  // rsub(a, b) is b - alpha a
      double factor = scaled ? alpha.toScalar().toDouble() : 1.0;
      if (scaled && (minus || kind == "aten::rsub")) factor = -factor;
      return one(node->input(place), factor, false);
    }
    return std::nullopt;
  }

  /// beta - mean gamma / sqrt(var + eps), of the statistics that it has learned.
  static at::Tensor bias_of_batch_norm(const torch::jit::Stack& values, double eps) {
    const at::Tensor mean = values.at(2).toTensor().detach(), variance = values.at(3).toTensor().detach();
    at::Tensor bias = mean.mul(variance.add(eps).rsqrt()).neg_();
    if (values.at(0).isTensor()) bias = bias.mul(values.at(0).toTensor().detach());
    return values.at(1).isTensor() ? bias.add(values.at(1).toTensor().detach()) : bias;
  }

  void tell(torch::jit::Node* node, const Constant& constant) {
    Rule rule([make = constant.make, channels = constant.has_channels](const RuleCall& call) {
      if (call.ledger) call.ledger->take(make(call.beside, call.gradient), call.gradient, channels);
      return std::vector{call.gradient};
    });
    rule.keeps_inputs = rule.keeps_output = false;
    rule.keeps_beside = true;
    const auto itself = [](torch::jit::Stack&) {};
    torch::jit::Node* told =
        ruled_node(graph_, itself, std::move(rule), {node->output(0)}, constant.values)->insertAfter(node);
    node->output(0)->replaceAllUsesAfterNodeWith(told, told->output());
    depends_.add(told->output(), node->output(0));
  }

  torch::jit::Graph& graph_;
  Dependence depends_;
};

/// See BiasTerms.
inline void tell_bias_terms(std::shared_ptr<torch::jit::Graph>& graph, const torch::jit::Module& object) {
  tidy_for_rules(graph);
  Functional(*graph, object)();
  BiasTerms terms(*graph, object);
  terms();
}

}  // namespace salience::detail
