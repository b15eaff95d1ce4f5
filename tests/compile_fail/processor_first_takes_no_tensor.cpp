// expect: Salience: the first step of an AttributionProcessor must take a const at::Tensor&
#include <salience/view/attribution_processor.hpp>

int main() {
  salience::AttributionProcessor view{{}, [](int x) { return x; }};
}
