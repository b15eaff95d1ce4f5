// expect: Salience: a target must be a choice, ClassIndex
#include <salience/target/target_selector.hpp>

int main() { salience::TargetSelector target{5, salience::Probability{}}; }
