// expect: Salience: a target must be a choice, ClassIndex
#include <salience/method/grad_cam.hpp>

struct Layered {
  at::Tensor operator()(const at::Tensor& x) const { return x; }
  salience::Tapped tapped(const at::Tensor& x, std::span<const std::string> names) const {
    return {x, std::vector<at::Tensor>(names.size(), x)};
  }
};

int main() {
  const salience::GradCam method{Layered{}};
  method(at::Tensor{}, 5);
}
