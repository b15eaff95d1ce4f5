// expect: Salience: for_samples of a model must be const, take a const at::Tensor&, the places of the rows'
// samples
#include <salience/method/smooth_grad.hpp>

#include <cstdint>
#include <vector>

struct Conditioned {
  at::Tensor condition;
  at::Tensor operator()(const at::Tensor& x) const { return x.add(condition); }
  Conditioned for_samples(const std::vector<std::int64_t>& samples) const { return {condition[samples[0]]}; }
};

int main() { salience::SmoothGrad{salience::GradientAttributor{Conditioned{}}}; }
