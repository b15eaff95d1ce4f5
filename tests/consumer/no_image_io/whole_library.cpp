#include <salience/salience.hpp>
