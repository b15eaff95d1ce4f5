#include <salience/method/backward_rule.hpp>

#include <doctest/doctest.h>

#include <functional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "../support.hpp"

using namespace salience;
using support::contains;
using support::distance;
using support::message;
using support::normal;
using support::same;

namespace {

using Function = std::function<at::Tensor(const at::Tensor&)>;

at::Tensor relu(const at::Tensor& x) { return x.relu(); }
at::Tensor is_positive(const at::Tensor& x) { return x.gt(0); }

/// o = f(f(x A) B) C, and its gradients by the papers' formulas, without autograd.
struct Net {
  Function f = relu;
  Function gate = is_positive;  ///< where f's gradient is 1; elsewhere it is 0
  at::Tensor a = normal({4, 6}, at::kDouble, 1), b = normal({6, 6}, at::kDouble, 2),
             c = normal({6, 3}, at::kDouble, 3);

  at::Tensor operator()(const at::Tensor& x) const {
    const auto type = x.scalar_type();
    return f(f(x.matmul(a.to(type))).matmul(b.to(type))).matmul(c.to(type));
  }

  enum Kind { plain, guided, deconvnet };
  at::Tensor gradient(const at::Tensor& x, std::int64_t target, Kind kind) const {
    const at::Tensor first = x.matmul(a), second = f(first.clone()).matmul(b);
    at::Tensor r = c.select(1, target).expand({x.size(0), 6});
    r = passed(r, second, kind).matmul(b.t());
    return passed(r, first, kind).matmul(a.t());
  }
  at::Tensor passed(const at::Tensor& r, const at::Tensor& x, Kind kind) const {
    at::Tensor mask = kind == deconvnet ? r.gt(0) : gate(x);
    if (kind == guided) mask = mask.logical_and(r.gt(0));
    return r.mul(mask);
  }
};

const at::Tensor input = normal({5, 4}, at::kDouble, 4);

template <class M>
void check_both_rules(const M& net) {
  for (std::int64_t target = 0; target < 3; ++target) {
    const ClassIndex index{target};
    CHECK(distance(gradient_at_input(net, input, index).values, net.gradient(input, target, Net::plain)) <
          1e-12);
    CHECK(distance(gradient_at_input(net, input, index, GuidedRule{}).values,
                   net.gradient(input, target, Net::guided)) < 1e-12);
    CHECK(distance(gradient_at_input(net, input, index, DeconvnetRule{}).values,
                   net.gradient(input, target, Net::deconvnet)) < 1e-12);
  }
}

/// Where plain, guided and deconvnet differ visibly: no test below could pass by chance.
const bool apart = [] {
  const Net net;
  const auto of = [&net](Net::Kind kind) { return net.gradient(input, 1, kind); };
  return distance(of(Net::plain), of(Net::guided)) > 0.1 &&
         distance(of(Net::guided), of(Net::deconvnet)) > 0.1;
}();

}  // namespace

TEST_CASE(
    "guided and deconvnet gradients are what the papers' formulas give, whatever form a rectifier has") {
  REQUIRE(apart);
  const auto between = [](double low, double high) {
    return [low, high](const at::Tensor& x) { return x.gt(low).logical_and(x.lt(high)); };
  };
  struct Form {
    std::string name;
    Function f;
    Function gate = is_positive;
  };
  const auto zeros = [](const at::Tensor& x) { return at::zeros({1}, x.options()); };
  const std::vector<Form> forms = {
      {"relu", relu},
      {"relu_", [](at::Tensor x) { return x.relu_(); }},
      {"relu6", [](const at::Tensor& x) { return at::relu6(x); }, between(0, 6)},
      {"relu6_", [](at::Tensor x) { return at::relu6_(x); }, between(0, 6)},
      {"hardtanh(0, 0.5)", [](const at::Tensor& x) { return at::hardtanh(x, 0, 0.5); }, between(0, 0.5)},
      {"hardtanh_(0, 0.5)", [](at::Tensor x) { return at::hardtanh_(x, 0, 0.5); }, between(0, 0.5)},
      {"threshold(0, 0)", [](const at::Tensor& x) { return at::threshold(x, 0, 0); }},
      {"threshold_(0, 0)", [](at::Tensor x) { return at::threshold_(x, 0, 0); }},
      {"clamp(min=0)", [](const at::Tensor& x) { return x.clamp(at::Scalar(0)); }},
      {"clamp(0.0, 0.7)", [](const at::Tensor& x) { return x.clamp(0.0, 0.7); }, between(0, 0.7)},
      {"clamp_(min=0)", [](at::Tensor x) { return x.clamp_(at::Scalar(0)); }},
      {"clamp(min=zeros)", [&zeros](const at::Tensor& x) { return x.clamp(zeros(x), {}); }},
      {"clamp_min", [](const at::Tensor& x) { return x.clamp_min(0); }},
      {"clamp_min_", [](at::Tensor x) { return x.clamp_min_(0.0); }},
      {"clamp_min(zeros)", [&zeros](const at::Tensor& x) { return x.clamp_min(zeros(x)); }},
      {"maximum(x, zeros)", [&zeros](const at::Tensor& x) { return x.maximum(zeros(x)); }},
      {"maximum(zeros, x)", [&zeros](const at::Tensor& x) { return zeros(x).maximum(x); }},
      {"in place on a view of all", [](at::Tensor x) { return x.view({-1}).relu_(), x; }},
      {"in place on a view's view",
       [](at::Tensor x) {
         return x.view({-1}).view({2, -1}).relu_(), x;
       }},
      {"hardtanh_ on a view",
       [](at::Tensor x) {
         at::Tensor view = x.view({-1});
         return at::hardtanh_(view, 0, 6), x;
       },
       between(0, 6)},
      {"in place on two parts",
       [](at::Tensor x) { return x.slice(1, 0, 2).clamp_min_(0), x.slice(1, 2, 6).relu_(), x; }},
      {"in place on strided columns",
       [](at::Tensor x) { return x.slice(1, 0, 6, 2).clamp_min_(0), x.slice(1, 1, 6, 2).clamp_(0, 9), x; }},
      {"a view that goes on",
       [](const at::Tensor& x) {
         return x.view({-1}).relu_().view({-1, 6});
       }},
      {"in a branch and a loop",
       [](at::Tensor x) {
         for (int i = 0; i < 1; ++i) x = x.dim() == 2 ? x.relu() : x;
         return x;
       }},
  };
  for (const Form& form : forms) {
    CAPTURE(form.name);
    check_both_rules(Net{.f = form.f, .gate = form.gate});
  }
}

TEST_CASE("a part that is rectified in place leaves the rest of its tensor alone") {
  const at::Tensor columns = at::arange(6).lt(2);
  const Net net{.f = [](at::Tensor x) { return x.slice(1, 0, 2).relu_(), x; }};
  const at::Tensor first = input.matmul(net.a), second = net.f(first.clone()).matmul(net.b);
  const auto passed = [&](const at::Tensor& r, const at::Tensor& x) {
    return at::where(columns, net.passed(r, x, Net::guided), r);
  };
  at::Tensor r = passed(net.c.select(1, 2).expand({5, 6}), second).matmul(net.b.t());
  r = passed(r, first).matmul(net.a.t());
  CHECK(distance(gradient_at_input(net, input, ClassIndex{2}, GuidedRule{}).values, r) < 1e-12);
}

TEST_CASE("a rectifier that is used twice follows the rule twice") {
  const Net once, two{.f = [](const at::Tensor&x) { return x.relu().relu(); }};
  CHECK(distance(gradient_at_input(two, input, ClassIndex{1}, GuidedRule{}).values,
                 once.gradient(input, 1, Net::guided)) < 1e-12);
  // Two uses of one output: their gradients add up before the rule.
  const at::Tensor w = normal({4}, at::kDouble, 7), v = normal({4}, at::kDouble, 8);
  const auto shared = [&](const at::Tensor& x) {
    const at::Tensor h = x.relu();
    return h.mul(w).add(h.mul(v)).sum(1);
  };
  const at::Tensor sum = w.add(v);
  CHECK(distance(gradient_at_input(shared, input, ClassIndex{0}, GuidedRule{}).values,
                 sum.mul(sum.gt(0)).mul(input.gt(0))) < 1e-14);
  const auto doubled = [](const at::Tensor& plain, const at::Tensor&) { return plain.mul(2.0); };
  CHECK(distance(gradient_at_input(shared, input, ClassIndex{0}, doubled).values,
                 sum.mul(2.0).mul(input.gt(0))) < 1e-14);  // once, though two ways lead to it
}

TEST_CASE("other bounds than 0 and other activations are no rectifiers") {
  const auto complaint = [](const Function& f) {
    return message<ModelError>([&] { gradient_at_input(Net{.f = f}, input, ArgMax{}, GuidedRule{}); });
  };
  const std::vector<std::pair<std::string, Function>> others = {
      {"GeluBackward0", [](const at::Tensor& x) { return at::gelu(x); }},
      {"SiluBackward0", [](const at::Tensor& x) { return at::silu(x); }},
      {"LeakyReluBackward0", [](const at::Tensor& x) { return at::leaky_relu(x); }},
      {"EluBackward0", [](const at::Tensor& x) { return at::elu(x); }},
      {"SoftplusBackward0", [](const at::Tensor& x) { return at::softplus(x); }},
      {"HardtanhBackward0", [](const at::Tensor& x) { return at::hardtanh(x, -1, 1); }},
      {"ThresholdBackward0", [](const at::Tensor& x) { return at::threshold(x, 0.1, 0); }},
      {"ClampBackward1", [](const at::Tensor& x) { return x.clamp(-0.1, 1.0); }},
      {"ClampBackward1", [](const at::Tensor& x) { return x.clamp({}, at::Scalar(1.0)); }},
      {"ClampMinBackward0", [](const at::Tensor& x) { return x.clamp_min(0.1); }},
      {"ClampMaxBackward0", [](const at::Tensor& x) { return x.clamp_max(0.0); }},
      {"MaximumBackward0", [](const at::Tensor& x) { return x.maximum(at::full({1}, 0.1, x.options())); }},
      {"MaximumBackward0", [](const at::Tensor& x) { return x.maximum(x.mul(0.0)); }},
      {"SigmoidBackward0", [](const at::Tensor& x) { return x.sigmoid(); }},
      {"TanhBackward0", [](const at::Tensor& x) { return x.tanh(); }},
  };
  for (const auto& other : others) {
    CAPTURE(other.first);
    CHECK(contains(complaint(other.second), "the activations there are " + other.first + ":"));
  }
  CHECK(contains(complaint([](const at::Tensor& x) { return at::silu(at::gelu(x)); }),
                 "GeluBackward0, SiluBackward0"));
  // PreluBackward0 in LibTorch 1.13, PreluKernelBackward0 later.
  CHECK(contains(complaint([](const at::Tensor& x) { return at::prelu(x, at::full({1}, 0.2, x.options())); }),
                 "the activations there are Prelu"));
  CHECK(contains(complaint([](const at::Tensor& x) { return x; }), "and the score: use"));
  const at::Tensor leaf = normal({5}).requires_grad_(true);
  const auto constant = [&leaf](const at::Tensor&) { return leaf; };  // a score without a graph
  CHECK(contains(message<ModelError>([&] { gradient_at_input(relu, input, constant, GuidedRule{}); }),
                 "score: use"));
  // Beside rectifiers they keep their own gradient.
  const auto mixed = [](const at::Tensor& x) { return x.relu().mul(-1.0).tanh(); };
  CHECK(gradient_at_input(mixed, input, ClassIndex{0}, GuidedRule{}).values.eq(0).all().item<bool>());
}

TEST_CASE(
    "a rectifier that the input does not pass is none, and its node, which others may use, is let alone") {
  const at::Tensor raw = normal({4, 3}).requires_grad_(true);
  const at::Tensor weight = raw.relu();  // a graph of the model's own
  const auto smooth = [&weight](const at::Tensor& x) { return at::gelu(x).matmul(weight); };
  CHECK(contains(message<ModelError>([&] { gradient_at_input(smooth, input, ArgMax{}, GuidedRule{}); }),
                 "GeluBackward0"));
  const auto rectified = [&weight](const at::Tensor& x) { return x.relu().matmul(weight); };
  int asked = 0;
  const auto count = [&asked](const at::Tensor& plain, const at::Tensor&) { return ++asked, plain; };
  const auto pass = salience::record(rectified, input, ClassIndex{0});
  const salience::detail::RuleOnGraph on(pass, count);
  weight.sum().backward();
  CHECK(asked == 0);
  pass.gradient();
  CHECK(asked == 1);
}

TEST_CASE("a user's rule is asked about each rectifier") {
  const Net net;
  int asked = 0;
  const GradientAttributor doubled(net, [&asked](const at::Tensor& plain, const at::Tensor& incoming) {
    ++asked;
    CHECK(same(plain, incoming.mul(plain.ne(0))));
    return plain.mul(2.0);
  });
  CHECK(distance(doubled(input, ClassIndex{0}).values, net.gradient(input, 0, Net::plain).mul(4.0)) < 1e-12);
  CHECK(asked == 2);
  // In another type than the gradient's it is brought back.
  const auto rounded = [](const at::Tensor& plain, const at::Tensor&) { return plain.to(at::kFloat); };
  const at::Tensor values = gradient_at_input(net, input, ClassIndex{0}, rounded).values;
  CHECK((values.scalar_type() == at::kDouble));
  CHECK(distance(values, net.gradient(input, 0, Net::plain)) < 1e-4);
  CHECK(same(gradient_at_input(net, input, ClassIndex{0}, PlainGradient{}).values,
             gradient_at_input(net, input, ClassIndex{0}).values));
}

TEST_CASE("one kept graph is walked back by several rules in any order") {
  const auto in_view = [](at::Tensor x) { return x.view({-1}).relu_(), x; };
  for (const Function& f : {Function(relu), Function(in_view)}) {
    const Net net{.f = f};
    const auto pass = salience::record(net, input, ClassIndex{2});
    const auto walk = [&pass](const auto& rule) {
      return salience::detail::gradients(pass, pass.leaf, rule, /*keep=*/true).front();
    };
    for (int i = 0; i < 2; ++i) {
      CHECK(distance(walk(GuidedRule{}), net.gradient(input, 2, Net::guided)) < 1e-12);
      CHECK(distance(walk(PlainGradient{}), net.gradient(input, 2, Net::plain)) < 1e-12);
      CHECK(distance(walk(DeconvnetRule{}), net.gradient(input, 2, Net::deconvnet)) < 1e-12);
      CHECK(distance(walk(GuidedRule{}), net.gradient(input, 2, Net::guided)) < 1e-12);
    }
    CHECK(distance(salience::detail::gradients(pass, pass.leaf, GuidedRule{}).front(),
                   net.gradient(input, 2, Net::guided)) < 1e-12);  // the last walk frees the graph
    CHECK(contains(message<ModelError>([&] { walk(PlainGradient{}); }), "second time"));
  }
}

TEST_CASE("a graph that was walked back without being kept is freed, inside its views too") {
  const auto in_view = [](at::Tensor x) { return x.view({-1}).relu_(), x.sum(1, true); };
  const auto first = [](const at::Tensor& o) { return o.select(1, 0); };  // keeps nothing for its backward
  const auto pass = salience::record(in_view, input, first);
  CHECK(same(salience::detail::gradients(pass, pass.leaf, GuidedRule{}).front(),
             is_positive(input).to(at::kDouble)));
  CHECK(contains(message<std::runtime_error>([&] { pass.gradient(); }), "second time"));
}

TEST_CASE("what a rule throws reaches the caller and leaves the graph as it was") {
  const auto in_view = [](at::Tensor x) { return x.view({5, 6}).relu_(), x; };
  for (const Function& f : {Function(relu), Function(in_view)}) {
    const Net net{.f = f};
    const auto pass = salience::record(net, input, ClassIndex{2});
    const at::Tensor plain = pass.gradient(/*keep=*/true);
    int calls = 0;
    const auto walk = [&](const auto& rule) {
      salience::detail::gradients(pass, pass.leaf, rule, /*keep=*/true);
    };
    const auto own = [&calls](const at::Tensor& r, const at::Tensor&) {
      if (++calls == 2) throw std::domain_error("from the rule");
      return r;
    };
    CHECK(message<std::domain_error>([&] { walk(own); }) == "from the rule");
    CHECK(same(pass.gradient(/*keep=*/true), plain));

    const auto torch = [](const at::Tensor& r, const at::Tensor&) { return r.select(7, 0); };
    CHECK(contains(message<ModelError>([&] { walk(torch); }),
                   "the backward rule fails on a gradient of shape (5, 6): Dimension out of range"));
    CHECK_THROWS_AS(
        [&] {
          try {
            walk(torch);
          } catch (const ModelError& error) {
            std::rethrow_if_nested(error);
          }
        }(),
        c10::Error);
    const auto number = [](const at::Tensor& r, const at::Tensor&) -> at::Tensor { return throw 7, r; };
    CHECK(contains(message<ModelError>([&] { walk(number); }), "no std::exception"));
    const auto summed = [](const at::Tensor& r, const at::Tensor&) { return r.sum(); };
    CHECK(contains(message<ArgumentError>([&] { walk(summed); }), "must be of shape (5, 6), got ()"));
    const auto nothing = [](const at::Tensor&, const at::Tensor&) { return at::Tensor(); };
    CHECK(contains(message<ArgumentError>([&] { walk(nothing); }), "got (undefined)"));

    CHECK(same(pass.gradient(/*keep=*/true), plain));
    CHECK(distance(salience::detail::gradients(pass, pass.leaf, GuidedRule{}).front(),
                   net.gradient(input, 2, Net::guided)) < 1e-12);
  }
}

TEST_CASE("promise 2: threads that share a model, some with a rule and some without, get the same bits") {
  const Net net{.f = [](at::Tensor x) { return x.slice(1, 0, 3).relu_(), x.relu(); }};
  const GradientAttributor plain(std::cref(net));
  const GradientAttributor guided(std::cref(net), GuidedRule{});
  const GradientAttributor deconvnet(std::cref(net), DeconvnetRule{});
  const at::Tensor expected[] = {plain(input).values, guided(input).values, deconvnet(input).values};
  std::vector<int> right(4, 0);
  {
    std::vector<std::jthread> threads;
    for (std::size_t t = 0; t < right.size(); ++t) {
      threads.emplace_back([&, t] {
        for (std::size_t i = t; i < t + 120; ++i) {
          const auto values = i % 3 == 0   ? plain(input).values
                              : i % 3 == 1 ? guided(input).values
                                           : deconvnet(input).values;
          right[t] += same(values, expected[i % 3]) ? 1 : 0;
        }
      });
    }
  }
  for (const int count : right) CHECK(count == 120);
}

static_assert(BackwardRule<PlainGradient> && BackwardRule<GuidedRule> && BackwardRule<DeconvnetRule>);
static_assert(!BackwardRule<ClassIndex>);
