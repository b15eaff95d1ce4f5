// Every operator that vision networks use, forward and backward, with inputs and incoming gradients in every
// pair of memory layouts, beside the same operator on contiguous float64 tensors:
//
//   operators [--all] [--conditions] [WORD...]    all layouts and types; what the wrong ones have in common;
//                                                 only cases whose names hold one of the words
//
// It does so twice: by LibTorch alone, which is only reported, and as this library differentiates a model.
// It fails where the latter is wrong and `known_faults` below does not say why.
#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_strided.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/version.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <exception>
#include <iomanip>
#include <iostream>
#include <map>
#include <numeric>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include <salience/method/gradient_attributor.hpp>

#include "cases.hpp"

namespace {

using kernels::Case;
using salience::detail::concat;
using Sizes = std::vector<std::int64_t>;

/// What LibTorch does wrong and this library cannot repair.
struct KnownFault {
  std::string_view name;  ///< how the names of the cases begin
  bool forward;           ///< in the values, so that whatever follows is about another network
  std::string_view reason;
  std::string_view type = {};  ///< the only type that is wrong; empty: any
};

constexpr std::array known_faults {
#if TORCH_VERSION_MAJOR < 2
  KnownFault{"gelu", false,
             "LibTorch 1.13 reads an incoming float32 gradient that is not contiguous as if it were"},
      KnownFault{"masked_select", false,
                 "LibTorch 1.13 puts the gradient at other elements than it selected if the input is not "
                 "contiguous"},
#endif
      KnownFault{
          "median", true,
          "the median along a dimension that repeats one value (expand) reads memory that nobody wrote: "
          "the model's own output is wrong, in Python too"},
      KnownFault{
          "_upsample_", true,
          "the antialiased resize takes a tensor of channels-last strides and width 1 for a contiguous "
          "one: the model's own output is wrong, in Python too"},
      KnownFault{
          "conv transposed", false,
          "on processors with AMX, oneDNN's bfloat16 convolution of stride 2 with padding reads memory "
          "that nobody wrote where its output is 1 wide; it is the gradient of a transposed one, in "
          "Python too",
          "bfloat16"},
};

// ---- values and layouts ----------------------------------------------------------------------------------

/// How a tensor lies in memory. Along each dimension of `expanded`, a set of bits, one value is repeated.
struct Layout {
  std::string name;
  Sizes strides;
  std::int64_t offset = 0;
  unsigned expanded = 0;
};

std::int64_t count(const Sizes& sizes) {
  return std::accumulate(sizes.begin(), sizes.end(), std::int64_t{1}, std::multiplies<>());
}

/// Strides without gaps, of dimensions in this order from the outermost; `gap` more after each innermost row.
Sizes strides_in_order(const Sizes& sizes, const Sizes& order, std::int64_t gap = 0) {
  Sizes strides(sizes.size());
  std::int64_t step = 1;
  for (std::size_t i = order.size(); i-- > 0;) {
    const auto dimension = static_cast<std::size_t>(order[i]);
    strides[dimension] = step;
    step *= sizes[dimension];
    if (i + 1 == order.size()) step += gap;
  }
  return strides;
}

Sizes moved(Sizes order, std::size_t from, std::size_t to) {
  const std::int64_t value = order[from];
  order.erase(order.begin() + static_cast<std::ptrdiff_t>(from));
  order.insert(order.begin() + static_cast<std::ptrdiff_t>(to), value);
  return order;
}

std::string name_of(const Sizes& order) {
  std::string name;
  for (const std::int64_t dimension : order) name += static_cast<char>('0' + dimension);
  return name;
}

/// The orders of the dimensions: contiguous and channels-last come first, then those that a permute leaves.
std::vector<Sizes> orders(std::size_t rank, bool all) {
  Sizes plain(rank);
  std::iota(plain.begin(), plain.end(), 0);
  std::vector<Sizes> found{plain};
  const auto add = [&found](const Sizes& order) {
    if (std::find(found.begin(), found.end(), order) == found.end()) found.push_back(order);
  };
  if (rank > 2) {
    const Sizes channels_last = moved(plain, 1, rank - 1);
    add(channels_last);
    add(moved(plain, rank - 1, rank - 2));
    add(moved(plain, 0, 1));
    add(moved(channels_last, 0, rank - 1));
    add(moved(channels_last, 1, rank - 2));
    add(moved(plain, 0, rank - 1));
  }
  if (rank <= 3 || (all && rank == 4)) {
    for (Sizes order = plain; std::next_permutation(order.begin(), order.end());) add(order);
  }
  add(Sizes(plain.rbegin(), plain.rend()));
  return found;
}

/// The layouts of a tensor of these sizes. Of what views leave: any stride at dimensions of size 1, gaps, an
/// offset, and dimensions that repeat one value.
std::vector<Layout> layouts(const Sizes& sizes, bool all) {
  std::vector<Layout> found;
  const auto add = [&](Layout layout) {
    const auto same = [&](const Layout& other) {
      return other.strides == layout.strides && other.offset == layout.offset;
    };
    if (std::none_of(found.begin(), found.end(), same)) found.push_back(std::move(layout));
  };
  const std::vector<Sizes> in_order = orders(sizes.size(), all);
  for (const Sizes& order : in_order) add({name_of(order), strides_in_order(sizes, order)});

  const std::size_t views = std::min<std::size_t>(in_order.size(), all ? 4 : 2);
  for (std::size_t i = 0; i < views; ++i) {
    for (const std::int64_t stride : {std::int64_t{1}, 2 * count(sizes) + 3, std::int64_t{0}}) {
      Layout layout{concat(name_of(in_order[i]), " size 1 at ", stride),
                    strides_in_order(sizes, in_order[i])};
      for (std::size_t d = 0; d < sizes.size(); ++d) {
        if (sizes[d] == 1) layout.strides[d] = stride;
      }
      add(layout);
      if (all && !sizes.empty() && sizes[0] == 1) {  // the batch alone
        layout.strides = strides_in_order(sizes, in_order[i]);
        layout.strides[0] = stride;
        layout.name += " batch";
        add(layout);
      }
    }
    add({name_of(in_order[i]) + " with gaps", strides_in_order(sizes, in_order[i], 2)});
    if (all) add({name_of(in_order[i]) + " offset", strides_in_order(sizes, in_order[i]), 1});
  }

  const auto repeated = [&](std::string name, unsigned wanted, const Sizes& order) {
    Layout layout{std::move(name), {}, 0, 0};
    Sizes kept = sizes;
    for (std::size_t d = 0; d < sizes.size(); ++d) {
      if ((wanted >> d & 1U) != 0 && sizes[d] > 1) {
        layout.expanded |= 1U << d;
        kept[d] = 1;
      }
    }
    if (layout.expanded == 0) return;
    layout.strides = strides_in_order(kept, order);
    for (std::size_t d = 0; d < sizes.size(); ++d) {
      if ((layout.expanded >> d & 1U) != 0) layout.strides[d] = 0;
    }
    add(std::move(layout));
  };
  repeated("one value", ~0U, in_order[0]);
  if (sizes.size() > 2) {
    repeated("expanded positions", ~3U, in_order[0]);
    repeated("expanded channels", 2U, in_order[0]);
  }
  if (all) repeated("expanded batch", 1U, in_order[0]);
  return found;
}

/// Sizes without what `expanded` repeats.
Sizes without(Sizes sizes, unsigned expanded) {
  for (std::size_t d = 0; d < sizes.size(); ++d) {
    if ((expanded >> d & 1U) != 0) sizes[d] = 1;
  }
  return sizes;
}

/// Exact float64 values for these sizes, contiguous, the same along each dimension of `expanded`.
at::Tensor values(const Sizes& sizes, unsigned expanded, int salt) {
  const Sizes kept = without(sizes, expanded);
  const std::vector<double> drawn = kernels::exact_values(count(kept), salt);
  return salience::detail::vector_tensor<double>(drawn).reshape(kept).expand(sizes).contiguous();
}

/// The values of `contiguous` in that layout, in memory of its own. It is no view, so that an operator may
/// write into it, and NaN stands in the gaps.
at::Tensor lay(const at::Tensor& contiguous, const Layout& layout) {
  const Sizes sizes = contiguous.sizes().vec();
  std::int64_t extent = layout.offset + 1;
  for (std::size_t d = 0; d < sizes.size(); ++d) extent += (sizes[d] - 1) * layout.strides[d];
  const at::Tensor memory = at::empty({extent}, contiguous.options()).fill_(std::nan(""));
  at::Tensor laid = at::empty({0}, contiguous.options());
  laid.set_(memory.storage(), layout.offset, sizes, layout.strides);
  const Sizes kept = without(sizes, layout.expanded);
  laid.as_strided(kept, layout.strides, layout.offset)
      .copy_(contiguous.as_strided(kept, contiguous.strides(), 0));
  return laid;
}

/// Gives its argument in a layout, and passes the gradient back as it comes.
struct Lay : torch::autograd::Function<Lay> {
  static at::Tensor forward(torch::autograd::AutogradContext*, const at::Tensor& x, const Layout* layout) {
    return lay(x, *layout);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext*,
                                                 const torch::autograd::variable_list& incoming) {
    return {incoming[0], at::Tensor()};
  }
};

at::Tensor incoming_gradient;  // what Score passes back: a kept graph is walked once for each layout of it

/// Scores of 0, one a sample, whose gradient with respect to the output is `incoming_gradient`, as it lies.
struct Score : torch::autograd::Function<Score> {
  static at::Tensor forward(torch::autograd::AutogradContext*, const at::Tensor& output,
                            std::int64_t samples) {
    return at::zeros({samples}, output.options());
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext*,
                                                 const torch::autograd::variable_list&) {
    return {incoming_gradient, at::Tensor()};
  }
};

// ---- right and wrong -------------------------------------------------------------------------------------

struct Type {
  at::ScalarType type;
  const char* name;
  double tolerance;  ///< of the error's norm, in units of the norm of what is right
  double floor;      ///< the latter is at least so much of the incoming gradient's: some gradients are 0
};

constexpr std::array types{Type{at::kFloat, "float32", 1e-4, 0.02}, Type{at::kDouble, "float64", 1e-9, 0.02},
                           Type{at::kBFloat16, "bfloat16", 0.1, 0.5}};

/// ||tensor - right|| / max(||right||, least); `right` is contiguous float64.
double error_of(const at::Tensor& tensor, const at::Tensor& right, double least) {
  if (tensor.sizes() != right.sizes()) return INFINITY;
  const at::Tensor compared = tensor.detach().to(at::kDouble).contiguous();
  const double *a = compared.data_ptr<double>(), *b = right.data_ptr<double>();
  double difference = 0.0, norm = 0.0;
  for (std::int64_t i = 0; i < right.numel(); ++i) {
    difference += (a[i] - b[i]) * (a[i] - b[i]);
    norm += b[i] * b[i];
  }
  return std::sqrt(difference) / std::max({std::sqrt(norm), least, 1e-30});
}

/// An output's norm is taken to be at least this: what a norm makes of constant values is 0.
double least_output(const Type& type, const at::Tensor& right) {
  return 0.1 * type.floor * std::sqrt(static_cast<double>(right.numel()));
}

double norm_of(const at::Tensor& x) { return x.norm().item<double>(); }

/// What LibTorch's kernels ask of a tensor's layout.
std::string answers(const at::Tensor& x) {
  const auto last = x.dim() == 5 ? at::MemoryFormat::ChannelsLast3d : at::MemoryFormat::ChannelsLast;
  const bool plain = x.is_contiguous(), channels = (x.dim() == 4 || x.dim() == 5) && x.is_contiguous(last);
  const char* is = plain && channels ? "both" : plain ? "contiguous" : channels ? "channels-last" : "neither";
  return concat(is,
                x.suggest_memory_format() == at::MemoryFormat::Contiguous ? "" : ", suggests channels-last");
}

struct Count {
  std::int64_t tried = 0, wrong = 0;
  double worst = 0.0;
  std::string where;                 ///< of the worst
  std::set<std::string_view> types;  ///< of the wrong ones

  /// Whether it is right.
  template <class Describe>
  bool add(double error, double limit, std::string_view type, const Describe& describe) {
    ++tried;
    if (error <= limit) return true;  // not for NaN
    ++wrong;
    types.insert(type);
    if (where.empty() || !(error <= worst)) worst = error, where = describe();
    return false;
  }
};

struct Tally {
  std::array<Count, 2> forward, backward;  ///< by LibTorch alone; as this library does it
  std::int64_t refused = 0;                ///< layouts that the operator does not take
  double imprecise = 0.0;                  ///< error of contiguous tensors, where it is above the tolerance
  std::array<std::map<std::string, Count>, 2> conditions;  ///< of the backward pass
};

// ---- the run ---------------------------------------------------------------------------------------------

struct Options {
  bool all = false, conditions = false;
  std::vector<std::string> words;
};

/// Both batches, and every dimension that LibTorch could overlook because it has size 1.
std::vector<Sizes> shapes(std::int64_t rank) {
  std::vector<Sizes> rows;
  switch (rank) {
    case 2:
      rows = {{16}, {1}};
      break;
    case 3:
      rows = {{8, 6}, {8, 1}, {1, 6}, {4, 4}};
      break;
    case 4:
      rows = {{16, 3, 4}, {8, 1, 5}, {8, 5, 1}, {8, 1, 1}, {1, 3, 4}, {3, 4, 4}};
      break;
    default:
      rows = {{8, 3, 3, 3}, {8, 1, 3, 3}, {8, 3, 1, 3}, {8, 3, 3, 1}, {8, 1, 1, 1}, {1, 3, 3, 3}};
      break;
  }
  std::vector<Sizes> found;
  for (Sizes row : rows) {
    row.insert(row.begin(), 1);
    found.push_back(row);
    row[0] = 2;
    found.push_back(row);
  }
  return found;
}

/// Where an operator has no derivative, as a norm at 0: there is nothing to compare.
struct NotFinite {};

/// What is right for one case and shape.
class Reference {
 public:
  Reference(const Case& operation, Sizes sizes) : operation_(operation), sizes_(std::move(sizes)) {}

  const at::Tensor& output(unsigned expanded) { return graph(expanded).values; }

  /// The gradient at an input that repeats along `expanded`, for an incoming one that repeats along
  /// `incoming`.
  const at::Tensor& gradient(unsigned expanded, unsigned incoming) {
    at::Tensor& found = gradients_[{expanded, incoming}];
    if (!found.defined()) {
      const Graph& graph = this->graph(expanded);
      found =
          torch::autograd::grad({graph.output}, {graph.x}, {values(graph.values.sizes().vec(), incoming, 2)},
                                /*retain_graph=*/true)[0]
              .contiguous();
    }
    if (!found.isfinite().all().item<bool>()) throw NotFinite();
    return found;
  }

 private:
  struct Graph {
    at::Tensor x, output, values;
  };

  const Graph& graph(unsigned expanded) {
    Graph& found = graphs_[expanded];
    if (!found.x.defined()) {
      found.x = values(sizes_, expanded, 1).requires_grad_(true);
      found.output = operation_.apply(found.x.clone());
      found.values = found.output.detach().contiguous();
    }
    if (!found.values.isfinite().all().item<bool>()) throw NotFinite();
    return found;
  }

  const Case& operation_;
  Sizes sizes_;
  std::map<unsigned, Graph> graphs_;
  std::map<std::pair<unsigned, unsigned>, at::Tensor> gradients_;
};

/// One case, shape and type, in all layouts. False if the operator does not take them.
bool run(const Case& operation, Reference& reference, const Sizes& sizes, const Type& type, std::size_t turn,
         const Options& options, Tally& tally) {
  const auto forward = [&](const at::Tensor& x, const Layout& layout) {
    return operation.apply(Lay::apply(x, &layout));
  };
  const std::vector<Layout> inputs = layouts(sizes, options.all);
  const Sizes output_sizes = reference.output(0).sizes().vec();
  const std::vector<Layout> incomings = layouts(output_sizes, options.all);

  struct Incoming {
    const Layout* layout;
    at::Tensor tensor;
    std::string answers;
    double norm;
  };
  std::vector<Incoming> gradients;
  for (const Layout& layout : incomings) {
    const at::Tensor exact = values(output_sizes, layout.expanded, 2);
    const at::Tensor laid = lay(exact.to(type.type), layout);
    gradients.push_back({&layout, laid, options.conditions ? answers(laid) : "", norm_of(exact)});
  }

  // What rounding alone does to contiguous tensors.
  std::map<unsigned, std::pair<double, at::Tensor>> rounded_outputs;
  std::map<std::pair<unsigned, unsigned>, double> rounded;
  std::map<unsigned, at::Tensor> leaves;
  const auto rounding = [&](unsigned expanded) -> const auto& {
    auto& found = rounded_outputs[expanded];
    if (!found.second.defined()) {
      leaves[expanded] = values(sizes, expanded, 1).to(type.type).requires_grad_(true);
      const at::Tensor output = operation.apply(leaves[expanded].clone());
      found = {error_of(output, reference.output(expanded), least_output(type, output)), output};
    }
    return found;
  };
  const auto gradient_rounding = [&](unsigned expanded, const Incoming& incoming) {
    const auto key = std::pair(expanded, incoming.layout->expanded);
    if (const auto found = rounded.find(key); found != rounded.end()) return found->second;
    const at::Tensor plain = incoming.tensor.contiguous();
    const at::Tensor gradient = torch::autograd::grad({rounding(expanded).second}, {leaves[expanded]},
                                                      {plain}, /*retain_graph=*/true)[0];
    const double error =
        error_of(gradient, reference.gradient(key.first, key.second), type.floor * incoming.norm);
    return rounded[key] = error;
  };
  try {
    rounding(0);
    gradient_rounding(0, gradients.front());
  } catch (const c10::Error&) {
    return false;
  }

  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const Layout& input = inputs[i];
    if (operation.writes && input.expanded != 0) continue;
    const at::Tensor exact = values(sizes, input.expanded, 1).to(type.type);
    const auto where = [&](const std::string& incoming) {
      return concat("(", salience::detail::shape(exact), " ", type.name, ", input ", input.name, incoming,
                    ")");
    };
    const auto differentiate = [&](std::size_t mode, const at::Tensor& output, const auto& gradient_for) {
      const double error = error_of(output, reference.output(input.expanded), least_output(type, output));
      const double output_rounding = rounding(input.expanded).first;
      if (output_rounding > type.tolerance) tally.imprecise = std::max(tally.imprecise, output_rounding);
      tally.forward[mode].add(error, std::max(type.tolerance, 4 * output_rounding), type.name,
                              [&] { return where(""); });
      for (std::size_t j = 0; j < gradients.size(); ++j) {
        if (!options.all && (i + 2 * j + turn) % 8 != 0 && i + j > 1) continue;
        const Incoming& incoming = gradients[j];
        const at::Tensor& right = reference.gradient(input.expanded, incoming.layout->expanded);
        const double rounding_error = gradient_rounding(input.expanded, incoming);
        if (rounding_error > type.tolerance) tally.imprecise = std::max(tally.imprecise, rounding_error);
        const double gradient_error =
            error_of(gradient_for(incoming.tensor), right, type.floor * incoming.norm);
        const double limit = std::max(type.tolerance, 4 * rounding_error);
        const auto place = [&] { return where(concat(", gradient ", incoming.layout->name)); };
        tally.backward[mode].add(gradient_error, limit, type.name, place);
        if (options.conditions) {
          const std::string condition =
              concat("N=", sizes[0], ": input ", answers(lay(exact, input)), "; gradient ", incoming.answers);
          tally.conditions[mode][condition].add(gradient_error, limit, type.name, place);
        }
      }
    };
    try {
      const at::Tensor leaf = exact.detach().requires_grad_(true);
      const at::Tensor output = forward(leaf, input);
      differentiate(0, output, [&](const at::Tensor& incoming) {
        return torch::autograd::grad({output}, {leaf}, {incoming}, /*retain_graph=*/true)[0];
      });
      const auto model = [&](const at::Tensor& x) { return forward(x, input); };
      const auto score = [&](const at::Tensor& y) { return at::Tensor(Score::apply(y, sizes[0])); };
      // What gradient_at_input does, with one forward pass for all that comes in.
      const auto pass = salience::record(model, exact, score);
      differentiate(1, pass.output, [&](const at::Tensor& incoming) {
        incoming_gradient = incoming;
        return pass.gradient(/*keep=*/true);
      });
    } catch (const c10::Error&) {
      ++tally.refused;
    } catch (const salience::Error&) {
      ++tally.refused;
    } catch (const NotFinite&) {
    }
  }
  return true;
}

const KnownFault* known_fault(const std::string& name, const Count& backward) {
  for (const KnownFault& fault : known_faults) {
    const bool other_type = std::any_of(backward.types.begin(), backward.types.end(),
                                        [&](std::string_view type) { return type != fault.type; });
    if (name.starts_with(fault.name) && (fault.type.empty() || !other_type)) return &fault;
  }
  return nullptr;
}

void print(const std::string& name, const char* what, const Count& count) {
  std::cout << "  " << std::left << std::setw(44) << name << ' ' << std::setw(8) << what << ' ' << std::right
            << std::setw(7) << count.wrong << " of " << std::setw(7) << count.tried << ", worst "
            << std::setprecision(3) << count.worst << ' ' << count.where << '\n';
}

}  // namespace

int main(int argc, char** argv) try {
  Options options;
  for (const std::string& word : std::vector<std::string>(argv + 1, argv + argc)) {
    if (word == "--all")
      options.all = true;
    else if (word == "--conditions")
      options.conditions = true;
    else
      options.words.push_back(word);
  }
  at::set_num_threads(1);
  const auto start = std::chrono::steady_clock::now();
  std::vector<std::pair<Case, Tally>> results;
  std::set<std::string> untaken;
  for (const Case& operation : kernels::cases()) {
    const auto holds = [&](const std::string& word) {
      return operation.name.find(word) != std::string::npos;
    };
    if (!options.words.empty() && std::none_of(options.words.begin(), options.words.end(), holds)) continue;
    Tally tally;
    std::size_t taken = 0;
    std::string refusal;
    const std::vector<Sizes> tried = shapes(operation.rank);
    for (std::size_t s = 0; s < tried.size(); ++s) {
      const Sizes& sizes = tried[s];
      Reference reference(operation, sizes);
      try {
        reference.gradient(0, 0);
      } catch (const NotFinite&) {
        continue;
      } catch (const std::exception& error) {  // 1.13 throws no c10::Error where a derivative is missing
        refusal = std::string(error.what()).substr(0, 150);
        refusal = refusal.substr(0, refusal.find('\n'));
        continue;
      }
      ++taken;
      for (std::size_t t = 0; t < types.size(); ++t) {
        const Type& type = types[t];
        const std::size_t turn = results.size() + s / 2 + s;  // the short form takes the types in turn
        if (!options.all && (results.size() + s / 2 + s % 2) % types.size() != t) continue;
        if (!run(operation, reference, sizes, type, turn, options, tally)) {
          untaken.insert(concat(operation.name, " (rank ", operation.rank, ") in ", type.name));
        }
      }
    }
    if (taken == 0) {
      untaken.insert(concat(operation.name, " (rank ", operation.rank, "): ", refusal));
      continue;
    }
    results.emplace_back(operation, std::move(tally));
  }

  std::int64_t gradients = 0, refused = 0, wrong_cases = 0;
  for (const std::size_t mode : {std::size_t{0}, std::size_t{1}}) {
    std::cout << (mode == 0 ? "Wrong in LibTorch alone:\n" : "Wrong in this library:\n");
    for (const auto& [operation, tally] : results) {
      const Count &forward = tally.forward[mode], &backward = tally.backward[mode];
      gradients += backward.tried;
      if (forward.wrong + backward.wrong == 0) continue;
      const std::string name = concat(operation.name, " (rank ", operation.rank, ")");
      if (forward.wrong > 0) print(name, "forward", forward);
      if (backward.wrong > 0) print(name, "backward", backward);
      for (const auto& [condition, count] : tally.conditions[mode]) {
        if (count.wrong > 0)
          std::cout << "      " << count.wrong << " of " << count.tried << ' ' << condition << '\n';
      }
      if (mode == 0) continue;
      if (const KnownFault* fault = known_fault(operation.name, backward)) {
        std::cout << "      known: " << fault->reason << '\n';
        if (fault->forward || forward.wrong == 0) continue;
      }
      ++wrong_cases;
    }
  }
  std::cout << "Not precise, contiguous or not:\n";
  for (const auto& [operation, tally] : results) {
    refused += tally.refused;
    if (tally.imprecise > 0.0) std::cout << "  " << operation.name << ": " << tally.imprecise << '\n';
  }
  std::cout << "Not implemented:\n";
  for (const std::string& name : untaken) std::cout << "  " << name << '\n';
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  std::cout << results.size() << " cases, " << gradients << " gradients, " << refused << " layouts refused, "
            << std::setprecision(3) << seconds.count()
            << " s; wrong in this library and not known: " << wrong_cases << '\n';
  if (options.words.empty() && (results.size() < 300 || gradients < 200000)) {
    std::cout << "too few were tried\n";
    return 1;
  }
  return wrong_cases == 0 ? 0 : 1;
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
