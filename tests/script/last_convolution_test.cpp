// The last convolution of a graph (ScriptModel) and of the operators that run (LastConvolution): one rule.
#include <salience/model/last_convolution.hpp>
#include <salience/model/script_model.hpp>

#include <doctest/doctest.h>

#include <array>
#include <string>
#include <vector>

#include "../support.hpp"

using namespace salience;
using support::normal;
using support::same;
using torch::jit::Module;

namespace {

/// A module with the weights a to f, of 3x3 convolutions from 4 channels to 4, and the input's, i, from 3.
/// `conv(x, w)` in its program is such a convolution.
Module network(const std::string& body) {
  Module net("Net");
  int salt = 0;
  for (const char* name : {"i", "a", "b", "c", "d", "e", "f"}) {
    const std::int64_t from = salt == 0 ? 3 : 4;
    net.register_parameter(name, normal({4, from, 3, 3}, at::kDouble, ++salt) * 0.3, false);
  }
  net.define("def conv(self, x, w):\n    return torch.conv2d(x, w, None, [1, 1], [1, 1])\n");
  net.define("def forward(self, x):\n    x = self.conv(x, self.i)\n" + body + "    return x.mean([2, 3])\n");
  return net;
}

const at::Tensor input = normal({2, 3, 6, 6}, at::kDouble, 9);

/// Which of the convolutions that run a tensor is the output of; -1 for none.
template <class M>
std::int64_t position(const M& model, const at::Tensor& layer, const at::Tensor& x) {
  const salience::detail::ConvolutionRecorder recorder;
  (void)model(x);
  for (std::size_t i = 0; i < recorder.outputs().size(); ++i) {
    if (same(recorder.outputs()[i], layer)) return static_cast<std::int64_t>(i);
  }
  return -1;
}

struct Case {
  const char* what;
  const char* body;
  std::int64_t last;  // which convolution it is, in the order in which they run; the input's is 0
};

constexpr std::array cases{
    Case{"a chain", R"(
    x = self.conv(torch.relu_(self.conv(torch.relu(x), self.a)), self.b)
)",
         2},
    Case{"a residual block whose shortcut has a convolution and comes last", R"(
    y = self.conv(torch.relu(self.conv(x, self.a)), self.b)
    y += self.conv(x, self.c)
    x = torch.relu_(y)
)",
         2},
    Case{"two such blocks", R"(
    y = self.conv(torch.relu(self.conv(x, self.a)), self.b)
    y.add_(self.conv(x, self.c))
    x = torch.relu_(y)
    y = self.conv(torch.relu(self.conv(x, self.d)), self.e)
    y.add_(self.conv(x, self.f))
    x = torch.relu_(y)
)",
         5},
    Case{"squeeze and excitation behind the last convolution", R"(
    x = torch.relu(self.conv(x, self.a))
    s = x.mean([2, 3], True)
    s = torch.sigmoid(self.conv(torch.relu(self.conv(s, self.b)), self.c))
    x = x * s
)",
         1},
    Case{"squeeze and excitation within a block with a shortcut", R"(
    y = self.conv(torch.relu(self.conv(x, self.a)), self.b)
    s = torch.sigmoid(self.conv(torch.adaptive_avg_pool2d(y, [1, 1]), self.c))
    x = torch.relu(y * s + self.conv(x, self.d))
)",
         2},
    Case{"a classifier of convolutions of one position", R"(
    x = self.conv(torch.relu(x), self.a)
    x = self.conv(torch.adaptive_avg_pool2d(x, [1, 1]), self.b)
)",
         1},
    Case{"branches of unequal depth, joined", R"(
    p = self.conv(torch.relu(self.conv(torch.relu(self.conv(x, self.a)), self.b)), self.c)
    q = self.conv(torch.relu(self.conv(x, self.d)), self.e)
    r = torch.max_pool2d(x, [3, 3], [1, 1], [1, 1])
    x = torch.cat([p, q, r], 1)
)",
         3},
    Case{"branches of equal depth: the one that runs last", R"(
    x = torch.cat([self.conv(x, self.a), self.conv(x, self.b)], 1)
)",
         2},
    Case{"the data in a list, in a view, in a chunk", R"(
    p, q = torch.chunk(torch.relu(self.conv(x, self.a)), 2, 1)
    y = torch.cat([q.flatten(2).view([2, 2, 6, 6]), p], 1).transpose(2, 3)
    y = self.conv(y.contiguous(), self.b)
    x = y + self.conv(x, self.c)
)",
         2},
    Case{"a part that this input does not reach", R"(
    y = self.conv(x, self.a)
    if x.sum() > 1000.0:
        y = self.conv(self.conv(y, self.b), self.c)
    x = y + self.conv(x, self.d)
)",
         2},
};

}  // namespace

TEST_CASE("a graph and the operators that run agree on the last convolution") {
  const std::vector<std::string> last{""};
  for (const Case& one : cases) {
    CAPTURE(std::string(one.what));
    Module module = network(one.body);
    const ScriptModel graph(module);
    const LastConvolution operators(
        [&module](const at::Tensor& x) { return module.forward({x}).toTensor(); });
    for (const bool gradient : {false, true}) {
      const at::Tensor x = input.clone().requires_grad_(gradient);
      const at::Tensor by_graph = graph.tapped(x, last).layers[0];
      const at::Tensor by_operators = operators.tapped(x, last).layers[0];
      CHECK(same(by_graph.detach(), by_operators.detach()));
      CHECK(position(operators, by_operators, x) == one.last);
    }
    // by_operators is the one which the output depends on
    const at::Tensor x = input.clone().requires_grad_(true);
    const Tapped tapped = operators.tapped(x, last);
    tapped.layers[0].retain_grad();
    tapped.output.sum().backward();
    CHECK(tapped.layers[0].grad().abs().max().item<double>() > 0.0);
  }
}

TEST_CASE("a graph and the operators that run agree if no convolution gives more than one position") {
  Module module = network(R"(
    x = self.conv(self.conv(x, self.a), self.b) + self.conv(x, self.c)
)");
  const at::Tensor x = normal({2, 3, 1, 1}, at::kDouble, 4);
  const std::vector<std::string> last{""};
  const LastConvolution operators([&module](const at::Tensor& t) { return module.forward({t}).toTensor(); });
  const at::Tensor layer = operators.tapped(x, last).layers[0];
  CHECK(same(ScriptModel(module).tapped(x, last).layers[0], layer));
  CHECK(position(operators, layer, x) == 2);
}
