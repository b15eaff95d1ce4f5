// What test_tensor_files.py talks to: load_npy, save_npy, load_pt and save_pt, a command a line.
//
//   npy npy IN OUT    reads IN as .npy and writes OUT as .npy; so also `npy pt`, `pt npy`, `pt pt`, `named
//   named`
//
// Each is answered by "ok", or by what the error says.

#include <torch/script.h>
#include <salience/io/npy.hpp>
#include <salience/io/pt.hpp>

#include <iostream>
#include <string>

namespace sal = salience;

int main() {
  std::string from, to, in, out;
  while (std::cin >> from >> to >> in >> out) {
    try {
      if (from == "named") {
        sal::save_pt(out, sal::load_named_pt(in));
      } else {
        const at::Tensor tensor = from == "npy" ? sal::load_npy(in) : sal::load_pt(in);
        to == "npy" ? sal::save_npy(out, tensor) : sal::save_pt(out, tensor);
      }
      std::cout << "ok" << std::endl;
    } catch (const sal::Error& error) {
      std::cout << error.what() << std::endl;
    }
  }
  return 0;
}
