// A model that is known to give maps by chance is told of, once, when it is wrapped; others are not.
#include <salience/model/script_model.hpp>

#include <doctest/doctest.h>
#include <torch/version.h>

#include <string>
#include <vector>

#include "../support.hpp"
#include "../warnings.hpp"

using namespace salience;
using support::contains;
using support::normal;
using torch::jit::Module;

namespace {

std::vector<std::string> warnings_of(const std::string& body, Prepare prepare = Prepare::none) {
  Module made("M");
  made.register_attribute("training", c10::BoolType::get(), true);
  made.register_attribute("always", c10::BoolType::get(), true);
  made.register_buffer("mean", normal({3}));
  made.register_buffer("var", normal({3}).abs());
  made.define("def forward(self, x):\n" + body);
  const support::CatchWarnings caught;
  const ScriptModel model(made, {.prepare = prepare});
  return caught.messages();
}

const std::string norm = "  return torch.batch_norm(x, None, None, self.mean, self.var, ";

}  // namespace

TEST_CASE("what is switched on for good is told with its operators and the remedy") {
  for (const Prepare prepare : {Prepare::none, Prepare::fast}) {
    const auto both = warnings_of(
        "  x = torch.dropout(torch.dropout(x, 0.5, True), 0.1, True)\n" + norm + "True, 0.1, 1e-5, False)\n",
        prepare);
    REQUIRE(both.size() == 1);
    CHECK(contains(both[0], "the model runs 1 batch_norm, 2 dropout as in training"));
    CHECK(contains(both[0], "model.eval() before torch.export.export or torch.jit.trace"));
  }
  CHECK(warnings_of("  return torch.feature_dropout(x, 0.5, self.always)\n").size() == 1);
  CHECK(warnings_of("  return torch.alpha_dropout_(x * 2, 0.5, True)\n").size() == 1);
  const auto noise = warnings_of("  return x + torch.randn_like(x)\n");
  REQUIRE(noise.size() == 1);
  CHECK(contains(noise[0], "1 randn_like"));
#if TORCH_VERSION_MAJOR >= 2
  CHECK(warnings_of("  return torch.scaled_dot_product_attention(x, x, x, None, 0.1)\n").size() == 1);
  CHECK(warnings_of("  return torch.scaled_dot_product_attention(x, x, x, None, 0.0)\n").empty());
#endif
}

TEST_CASE("what evaluation mode switches off, or what drops nothing, is not told") {
  CHECK(warnings_of("  return torch.dropout(x, 0.5, self.training)\n").empty());
  CHECK(warnings_of("  return torch.dropout(x, 0.5, self.training and self.always)\n").empty());
  CHECK(warnings_of("  return torch.dropout(x, 0.0, True)\n").empty());
  CHECK(warnings_of("  if self.training:\n    x = torch.dropout(x, 0.5, True)\n  return x\n").empty());
  CHECK(warnings_of(norm + "self.training, 0.1, 1e-5, False)\n").empty());
  CHECK(warnings_of("  return torch.instance_norm(x, None, None, None, None, True, 0.1, 1e-5, False)\n")
            .empty());
}
