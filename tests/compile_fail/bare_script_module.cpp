// expect: Salience: a torch::jit::Module is not used directly; wrap it: salience::ScriptModel\{module\}
#include <torch/script.h>

#include <salience/method/gradient_attributor.hpp>

int main() {
  torch::jit::Module module("M");
  salience::GradientAttributor vanilla{module};
}
