// A server's loop: workers share one model and one attributor, and take requests from a queue.
//
//   08_server [MODEL.pt SIZE PICTURE...]      from the project's folder
#include <ATen/Parallel.h>
#include <salience/salience.hpp>

#include <atomic>
#include <filesystem>
#include <iostream>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace sal = salience;

int main(int argc, char** argv) try {
  const sal::GradCam cam{sal::ScriptModel::load(argc > 1 ? argv[1] : "examples/data/scenes.pt",
                                                {.prepare = sal::Prepare::fast})};
  const int size = argc > 2 ? std::stoi(argv[2]) : 96;
  const auto preprocess = sal::imagenet_preprocessor(size, size);
  const sal::AttributionProcessor view{{.activation = sal::Activation::relu, .colormap = "jet"}};

  std::vector<std::string> requests(argv + std::min(argc, 3), argv + argc);
  if (requests.empty()) {
    for (const std::string kind : {"star", "heart", "disc", "missing", "arrow"}) {
      requests.push_back("examples/data/scene_" + kind + ".png");
    }
  }
  std::atomic<std::size_t> next = 0;
  std::mutex printing;
  const auto work = [&] {
    at::set_num_threads(1);  // one thread for each request: LibTorch's own would compete with the workers
    for (std::size_t i = next++; i < requests.size(); i = next++) {
      std::string answer;
      try {
        const at::Tensor x = preprocess(sal::load_image(requests[i]));
        const sal::Attribution a = cam(x);
        sal::save_image("answer_" + std::to_string(i) + ".png", view(a.values, preprocess.picture(x)));
        answer = "class " + std::to_string(a.target.item<std::int64_t>());
      } catch (const sal::Error& error) {  // a bad request is answered, and the server goes on
        answer = error.what();
      }
      const std::lock_guard lock(printing);
      std::cout << i << ": " << answer << '\n';
    }
  };
  std::vector<std::thread> workers;
  for (unsigned n = 0; n < 4; ++n) workers.emplace_back(work);
  for (std::thread& worker : workers) worker.join();
  return 0;
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
