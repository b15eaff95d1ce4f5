#include "../../programs/attribute_dataset/bounded_queue.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;

TEST_CASE("items come out in the order in which they went in") {
  BoundedQueue<std::unique_ptr<int>> queue(4);
  for (int i = 0; i < 4; ++i) CHECK(queue.push(std::make_unique<int>(i)));
  queue.close();
  for (int i = 0; i < 4; ++i) CHECK(*queue.pop().value() == i);
  CHECK_FALSE(queue.pop().has_value());
}

TEST_CASE("who is ahead waits") {
  BoundedQueue<int> queue(2);
  std::atomic<int> pushed = 0;
  std::thread producer([&] {
    for (int i = 0; i < 10; ++i) {
      queue.push(i);
      ++pushed;
    }
  });
  for (int i = 0; i < 10; ++i) {
    const int most = i + 2;
    for (int wait = 0; wait < 1000 && pushed < std::min(most, 10); ++wait) std::this_thread::sleep_for(1ms);
    std::this_thread::sleep_for(2ms);
    CHECK(pushed == std::min(most, 10));
    CHECK(queue.pop() == i);
  }
  producer.join();
}

TEST_CASE("closing frees who waits on either side") {
  BoundedQueue<int> full(1), empty(1);
  CHECK(full.push(1));
  std::thread producer([&] { CHECK_FALSE(full.push(2)); });
  std::thread consumer([&] { CHECK_FALSE(empty.pop().has_value()); });
  std::this_thread::sleep_for(5ms);
  full.close();
  empty.close();
  producer.join();
  consumer.join();
  CHECK(full.pop() == 1);
  CHECK_FALSE(full.push(3));
}

}  // namespace
