// expect: Salience: this method looks at a layer: give it a ScriptModel
#include <salience/method/explanation.hpp>

int main() {
  salience::Explanation explanation{[](const at::Tensor& x) { return x; }, at::Tensor{}, salience::ArgMax{},
                                    salience::CamOptions{}};
}
