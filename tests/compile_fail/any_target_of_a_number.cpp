// expect: Salience: a target must be a choice, ClassIndex
#include <salience/target/any_target.hpp>

int main() { const salience::AnyTarget target{5}; }
