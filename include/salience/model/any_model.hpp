// AnyModel: one type for models of every type.
#pragma once

#include <concepts>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/error.hpp>
#include <salience/model/concepts.hpp>
#include <salience/model/cuttable_model.hpp>
#include <salience/model/layered_model.hpp>
#include <salience/model/relevance_model.hpp>
#include <salience/tensor/composite.hpp>
#include <salience/tensor/deep_lift_rule.hpp>
#include <salience/tensor/layer.hpp>

namespace salience {

/// Any Model, behind one type: for what is compiled once for all models, or is chosen while the program runs.
///
///     const AnyModel model = fast ? AnyModel{ScriptModel::load("vgg16.pt")} : AnyModel{net};
///     Attribution a = GradientAttributor{model}(x);
///
/// It gives the very tensors of the model in it, in the same autograd graph, so methods give the same bits.
/// It has `tapped`, and so is a LayeredModel to the compiler; whether the model in it is one is known only
/// when it is asked: see layered().
///
/// Copies are cheap and share one model. Several threads may use it and its copies at once if they may use
/// that model at once. A call costs one more indirect call.
class AnyModel {
 public:
  /// Of any Model, which is moved in. A module holder, a shared pointer and std::ref still share their
  /// module.
  template <class M>
  explicit AnyModel(M model) {
    detail::require_model<M>();
    if constexpr (Model<M>) {
      const auto held = std::make_shared<M>(std::move(model));
      call_ = [held](const at::Tensor& input) -> at::Tensor { return detail::call(*held, input); };
      if constexpr (LayeredModel<M>) {
        tapped_ = [held](const at::Tensor& input, std::span<const std::string> layers) {
          return held->tapped(input, layers);
        };
      }
      if constexpr (requires {
                      { held->layers() } -> std::same_as<std::vector<Layer>>;
                    }) {
        layers_ = [held] { return held->layers(); };
      }
      if constexpr (CuttableModel<M>) {
        until_ = [held](const std::string& layer) { return AnyModel(held->until(layer)); };
        from_ = [held](const std::string& layer, const at::Tensor& input) {
          return AnyModel(held->from(layer, input));
        };
      }
      if constexpr (DeepLiftModel<M>) {
        against_ = [held](const at::Tensor& baseline, DeepLiftRule rule) {
          return AnyModel(held->against(baseline, rule));
        };
      }
      if constexpr (RelevanceModel<M>) {
        relevant_ = [held](const Composite& composite) { return AnyModel(held->relevant(composite)); };
      }
      if constexpr (AttentionModel<M>) {
        with_attention_ = [held] { return AnyModel(held->with_attention()); };
      }
      if constexpr (BiasTermsModel<M>) {
        with_bias_terms_ = [held] { return AnyModel(held->with_bias_terms()); };
      }
      if constexpr (SampleAwareModel<M>) {
        for_samples_ = [held](const at::Tensor& samples) {
          return AnyModel(detail::for_samples(*held, samples));
        };
      }
    }
  }

  /// What the model gives.
  at::Tensor operator()(const at::Tensor& input) const { return call_(input); }

  /// Is the model in it a LayeredModel?
  bool layered() const noexcept { return static_cast<bool>(tapped_); }

  /// What the model and its layers give. Throws ModelError if layers are asked for and the model in it is no
  /// LayeredModel, and what that throws.
  Tapped tapped(const at::Tensor& input, std::span<const std::string> layers) const {
    if (tapped_) return tapped_(input, layers);
    if (layers.empty()) return {call_(input), {}};
    throw ModelError(detail::concat("the model in this AnyModel does not show ",
                                    detail::quoted_layer(layers.front()),
                                    ": it must hold a ScriptModel, FeaturesHead{features, head}, "
                                    "LastConvolution{model} or another LayeredModel"));
  }

  /// The layers that can be named, of a model that lists them, as a GraphModel; of others none.
  std::vector<Layer> layers() const { return layers_ ? layers_() : std::vector<Layer>(); }

  /// The model until a layer, and from it on: see CuttableModel. Throws ModelError if the model in it is
  /// none, and what that throws.
  AnyModel until(const std::string& layer) const {
    require_cuttable();
    return until_(layer);
  }
  /// The same from it on.
  AnyModel from(const std::string& layer, const at::Tensor& input) const {
    require_cuttable();
    return from_(layer, input);
  }

  /// The model against a baseline: see DeepLiftModel. Throws ModelError if the model in it is none, and what
  /// that throws.
  AnyModel against(const at::Tensor& baseline, DeepLiftRule rule = DeepLiftRule::rescale) const {
    require_graph(static_cast<bool>(against_));
    return against_(baseline, rule);
  }
  /// The model with rules of relevance: see RelevanceModel. Throws ModelError if the model in it is none, and
  /// what that throws.
  AnyModel relevant(const Composite& composite) const {
    require_graph(static_cast<bool>(relevant_));
    return relevant_(composite);
  }

  /// The model with its attention as layers: see AttentionModel. Throws ModelError if the model in it is
  /// none, and what that throws.
  AnyModel with_attention() const {
    require_graph(static_cast<bool>(with_attention_));
    return with_attention_();
  }

  /// The model with the shares of its biases: see BiasTermsModel. Throws ModelError if the model in it is
  /// none, and what that throws.
  AnyModel with_bias_terms() const {
    require_graph(static_cast<bool>(with_bias_terms_));
    return with_bias_terms_();
  }

  /// See SampleAwareModel: of a model that is none, the same.
  AnyModel for_samples(const at::Tensor& samples) const {
    return for_samples_ ? for_samples_(samples) : *this;
  }

 private:
  void require_cuttable() const {
    if (until_) return;
    throw ModelError(
        "the model in this AnyModel cannot be cut: it must hold a ScriptModel, an ExportedModel or another "
        "CuttableModel");
  }

  static void require_graph(bool shown) {
    if (shown) return;
    throw ModelError(
        "this method reads or rewrites the graph of a model, and the one in this AnyModel shows none: it "
        "must hold a "
        "ScriptModel or an ExportedModel");
  }

  std::function<at::Tensor(const at::Tensor&)> call_;
  std::function<Tapped(const at::Tensor&, std::span<const std::string>)> tapped_;
  std::function<std::vector<Layer>()> layers_;
  std::function<AnyModel(const std::string&)> until_;
  std::function<AnyModel(const std::string&, const at::Tensor&)> from_;
  std::function<AnyModel(const at::Tensor&, DeepLiftRule)> against_;
  std::function<AnyModel(const Composite&)> relevant_;
  std::function<AnyModel()> with_attention_;
  std::function<AnyModel()> with_bias_terms_;
  std::function<AnyModel(const at::Tensor&)> for_samples_;
};

}  // namespace salience
