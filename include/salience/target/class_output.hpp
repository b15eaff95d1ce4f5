// ClassOutput: what a classifier's output says of its classes, whether it is logits, one logit, or
// probabilities.
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/error.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience {

/// What a classifier's output is made of.
enum class OutputType {
  automatic,     ///< logits; but rows (K > 1) of values in [0, 1] whose sum is 1 are probabilities
  logits,        ///< whatever the values are
  probabilities  ///< whatever their sum is (sigmoids of several labels too); a single one is that of class 1
};

namespace detail {

/// Where the probabilities of a row of so many classes in that type add up to 1, but for rounding.
inline double sum_tolerance(at::ScalarType type, std::int64_t classes) {
  const double sums = 16.0 + static_cast<double>(classes) / 8.0;  // roundings of what softmax divides by
  if (type == at::kDouble) return 0x1p-52 * sums;
  if (type == at::kFloat) return 0x1p-23 * sums;
  return type == at::kHalf ? 0x1p-10 : 0x1p-7;  // these add in float32 and round the result alone
}

}  // namespace detail

/// A model's output, read as that of a classifier.
///
/// - (N, K): K classes, their logits or, row by row, their probabilities; see OutputType.
/// - (N, 1): the single logit z of a binary classifier. It has two classes: 1, "yes", with logit z and
///   probability \f$ \sigma(z) \f$, and 0, "no", with logit -z and probability \f$ \sigma(-z) \f$. A single
///   probability p cannot be told from a logit, and must be stated: the classes have p and 1 - p.
/// - (N): a bare score, which is the logit of class 0. It has no other class, and no probability.
///
/// What are probabilities already gets no second softmax. Their logit is not known: where one is asked for,
/// the output is taken as it stands.
class ClassOutput {
 public:
  /// Throws TargetError for an output that is complex or of another shape.
  explicit ClassOutput(const at::Tensor& output, OutputType type = OutputType::automatic)
      : output_(checked(output)), type_(type), bare_(output.dim() == 1) {}

  /// Is it one logit or probability of two classes, (N, 1)?
  bool single() const { return !bare_ && output_.size(1) == 1; }

  /// (N, K), a column a class: the output as it stands. Of a single logit -z and z, of a single probability
  /// 1 - p and p.
  at::Tensor rows() const {
    if (!single()) return output_;
    const at::Tensor both = output_.mul(pair({-1.0, 1.0}));
    return type_ == OutputType::probabilities ? both.add(pair({1.0, 0.0})) : both;
  }

  /// How it is read: as stated, or what was found where all rows are alike.
  OutputType type() const {
    if (type_ != OutputType::automatic) return type_;
    if (bare_ || single() || plainly_logits()) return OutputType::logits;
    const at::Tensor found = holds_probabilities();
    if (found.all().item<bool>()) return OutputType::probabilities;
    return found.any().item<bool>() ? OutputType::automatic : OutputType::logits;
  }

  /// (N) int64: the class with the largest value; of equal ones the first.
  at::Tensor prediction() const { return rows().detach().argmax(1); }

  /// (N) bool: is the row taken as probabilities?
  at::Tensor holds_probabilities() const {
    if (known_.defined()) return known_;
    const at::Tensor values = output_.detach();
    const double off = detail::sum_tolerance(values.scalar_type(), values.size(1));
    const bool automatic = type_ == OutputType::automatic && values.is_floating_point();
    if (bare_ || single() || !automatic) {
      const bool stated = !bare_ && type_ == OutputType::probabilities;
      return values.new_full({values.size(0)}, stated, at::kBool);
    }
    const at::Tensor share = values.ge(0.0).logical_and(values.le(1.0 + off)).all(1);
    return values.sum(1, /*keepdim=*/false, at::kDouble).sub(1.0).abs().le(off).logical_and(share);
  }

  /// (N): the chosen classes' logits, as `rows` has them.
  at::Tensor logit(const at::Tensor& chosen) const { return of(rows(), chosen); }

  /// (N, K), in [0, 1]. Throws TargetError for a bare score.
  at::Tensor probabilities() const {
    require_probability();
    at::Tensor values = rows();
    if (type_ == OutputType::probabilities) return values;
    if (single()) return values.sigmoid();
    if (type_ == OutputType::logits) return values.softmax(1);
    return values.where(holds_probabilities().unsqueeze(1), values.softmax(1));
  }

  /// (N): the chosen classes' probabilities, in [0, 1]. Throws TargetError for a bare score.
  at::Tensor probability(const at::Tensor& chosen) const { return of(probabilities(), chosen); }

  /// (N): their natural logarithms, computed without loss of small ones. Throws TargetError for a bare score.
  at::Tensor log_probability(const at::Tensor& chosen) const {
    require_probability();
    if (single() && type_ != OutputType::probabilities) return of(logits(chosen).log_softmax(1), chosen);
    const at::Tensor own = of(rows(), chosen);
    if (type_ == OutputType::probabilities) return own.log();
    at::Tensor of_logits = of(output_.log_softmax(1), chosen);
    if (type_ == OutputType::logits) return of_logits;
    const at::Tensor already = holds_probabilities();
    // The logarithm of what is no probability would bring NaN into the gradient.
    return own.masked_fill(already.logical_not(), 1.0).log().where(already, of_logits);
  }

  /// (N, K): logits whose softmax are the probabilities, for what knows logits alone. Of a single logit the
  /// chosen class's, beside 0; of probabilities the logarithms; else, and of a bare score, the output.
  at::Tensor logits(const at::Tensor& chosen) const {
    if (bare_) return output_;
    if (single() && type_ != OutputType::probabilities) {
      const at::Tensor other = pair({0.0, 1.0}).ne(chosen.unsqueeze(1).to(output_.scalar_type()));
      return logit(chosen).unsqueeze(1).expand({output_.size(0), 2}).masked_fill(other, 0.0);
    }
    if (type_ == OutputType::logits) return output_;
    const at::Tensor values = rows();
    const double least = output_.scalar_type() == at::kHalf ? 1e-7 : 1e-37;  // above 0 in its type
    if (type_ == OutputType::probabilities) return values.clamp_min(least).log();
    const at::Tensor already = holds_probabilities().unsqueeze(1);
    return values.masked_fill(already.logical_not(), 1.0).clamp_min(least).log().where(already, values);
  }

  /// The same output in float64, read as it is here.
  ClassOutput widened() const {
    ClassOutput wide(*this);
    wide.known_ = holds_probabilities();
    wide.output_ = output_.to(at::kDouble);
    return wide;
  }

  /// Says once, by TORCH_WARN, where the output was taken for probabilities without being stated as such, and
  /// where a single one may be a probability. Throws TargetError for stated probabilities outside of [0, 1].
  void notice() const {
    if (bare_ || type_ == OutputType::logits || !output_.is_floating_point()) return;
    if (type_ == OutputType::automatic && plainly_logits()) return;
    const at::Tensor values = output_.detach();
    const double off = detail::sum_tolerance(values.scalar_type(), values.size(1));
    const at::Tensor outside = values.lt(-off).logical_or(values.gt(1.0 + off));
    if (type_ == OutputType::probabilities) {
      if (!outside.any().item<bool>()) return;
      const double first = values.masked_select(outside)[0].to(at::kDouble).item<double>();
      throw TargetError(detail::concat("the output is stated to be probabilities, but ", first,
                                       " is not in [0, 1]; OutputType::logits takes it as it is"));
    }
    if (single()) {
      if (outside.any().item<bool>() || values.isnan().any().item<bool>()) return;
      TORCH_WARN(
          "Salience: the model's single output lies in [0, 1] and is read as a logit; if the model ends in a "
          "sigmoid, state OutputType::probabilities (--output-type probabilities), else OutputType::logits");
    } else if (holds_probabilities().any().item<bool>()) {
      TORCH_WARN(
          "Salience: the model's outputs are probabilities already (in [0, 1], their sum is 1) and get no "
          "second softmax; state OutputType::probabilities (--output-type probabilities), or logits if they "
          "are not");
    }
  }

 private:
  static at::Tensor checked(const at::Tensor& output) {
    const bool real = !output.is_complex();
    if (real && output.dim() == 2 && output.size(1) > 0) return output;
    if (real && output.dim() == 1) return output.unsqueeze(1);
    throw TargetError(
        detail::concat("a class can only be chosen from a real output of shape (N, K) or (N), got ",
                       detail::shape(output), real ? "" : detail::concat(" of ", output.scalar_type()),
                       "; give a callable from the output to one score per sample, (N)"));
  }

  void require_probability() const {
    if (!bare_) return;
    throw TargetError(detail::concat(
        "an output of shape (", output_.size(0),
        ") is a bare score, which has no probability; a model of a single logit gives (N, 1)"));
  }

  /// Has each row a value below 0? Most outputs have, and to look at no more costs little.
  bool plainly_logits() const { return output_.detach().lt(0.0).any(1).all().item<bool>(); }

  static at::Tensor of(const at::Tensor& rows, const at::Tensor& chosen) {
    return rows.gather(1, chosen.unsqueeze(1)).squeeze(1);
  }

  /// (2), of the output's type and device.
  at::Tensor pair(const std::vector<double>& values) const {
    const at::Tensor both = detail::vector_tensor<double>(values);
    return both.to(output_.device(), output_.is_floating_point() ? output_.scalar_type() : at::kDouble);
  }

  at::Tensor output_;  // (N, K)
  at::Tensor known_;   // which rows hold probabilities, where that was found out before
  OutputType type_;
  bool bare_;
};

}  // namespace salience
