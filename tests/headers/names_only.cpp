// What a user's header may say of our types with fwd.hpp alone.
#include <memory>

#include <salience/fwd.hpp>

namespace at {
class Tensor;
}

salience::Image explain(const salience::ScriptModel& model, const at::Tensor& input, salience::Prepare how);

struct Explainer {
  std::shared_ptr<const salience::GradientAttributor<salience::ScriptModel, salience::PlainGradient>> vanilla;
  std::shared_ptr<const salience::SmoothGrad<salience::GradCam<salience::ScriptModel>>> smooth;
  salience::Attribution operator()(const at::Tensor& input) const;
};
