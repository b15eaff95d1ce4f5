// expect: Salience: for_samples of a model must be const, take a const at::Tensor&, the places of the rows'
// samples
#include <salience/method/gradient_attributor.hpp>

#include <memory>

struct Conditioned {
  at::Tensor condition;
  at::Tensor forward(const at::Tensor& x) const { return x.add(condition); }
  Conditioned for_samples(const at::Tensor& samples) { return {condition.index_select(0, samples)}; }
};

int main() { salience::GradientAttributor{std::make_shared<const Conditioned>()}; }
