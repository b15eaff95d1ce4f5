// Many threads make calls on shared objects, at random; every outcome must be the one that a single thread
// had before.
#pragma once

#include <ATen/Parallel.h>
#include <malloc.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <barrier>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <numeric>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "../support.hpp"

namespace soak {

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

/// A call and its result as bytes. It may throw: the message is then its outcome.
struct Task {
  std::string name;
  std::function<std::string()> call;
};

inline std::string outcome(const Task& task) {
  try {
    return task.call();
  } catch (const std::exception& error) {
    return std::string("threw: ") + error.what();
  }
}

struct Report {
  std::int64_t calls = 0;   ///< compared
  std::int64_t thrown = 0;  ///< of these, how many threw, as they should
  std::int64_t wrong = 0;   ///< had another outcome than on one thread
  std::int64_t rarest = 0;  ///< how often the rarest task was called
  /// Resident memory in KiB at the end of each round, when no call is under way and what is free is given
  /// back.
  std::vector<double> memory;

  /// How much more memory there is in the last quarter of the rounds than in the first one; means, in KiB.
  double growth() const {
    const auto quarter = std::ssize(memory) / 4;
    const auto mean = [&](auto begin) {
      return std::accumulate(begin, begin + quarter, 0.0) / static_cast<double>(quarter);
    };
    return mean(memory.end() - quarter) - mean(memory.begin());
  }
};

/// Eight threads, in twenty rounds of that time together. Before, each thread calls each task once: oneDNN
/// keeps kernels and workspaces for the shapes that a thread has met. Ends the process if no call has ended
/// for two minutes.
inline Report soak(const std::vector<Task>& tasks, double seconds) {
  constexpr std::size_t threads = 8;
  constexpr int rounds = 20;
  constexpr Seconds stuck(120);

  mallopt(M_MMAP_THRESHOLD, 64 * 1024);  // large blocks are given back at once: memory is then what is in use
  at::set_num_threads(1);
  std::vector<std::string> expected;
  for (const Task& task : tasks) expected.push_back(outcome(task));

  Report report;
  std::vector<std::atomic<std::int64_t>> calls(tasks.size());
  std::array<std::atomic<std::size_t>, threads> current{};
  std::atomic<std::int64_t> wrong = 0, ended = 0;
  std::atomic<std::size_t> finished = 0;
  Clock::time_point start;  // of the first round, when all are warm
  std::barrier round(threads, [&]() noexcept {
    malloc_trim(0);
    if (start == Clock::time_point()) {
      start = Clock::now();
    } else {
      report.memory.push_back(support::resident_memory());
    }
  });
  const auto work = [&](std::size_t thread) {
    at::set_num_threads(1);
    std::mt19937 random(static_cast<unsigned>(thread));
    std::vector<std::size_t> order(tasks.size());
    std::iota(order.begin(), order.end(), 0);
    const auto call = [&](std::size_t task) {
      current[thread] = task;
      if (outcome(tasks[task]) != expected[task] && wrong++ < 10) {
        std::cerr << "another outcome: " + tasks[task].name + '\n';
      }
      ++calls[task];
      ++ended;
    };
    std::shuffle(order.begin(), order.end(), random);
    for (const std::size_t task : order) call(task);
    round.arrive_and_wait();
    std::size_t next = 0;
    for (int i = 1; i <= rounds; ++i) {
      while (Clock::now() - start < Seconds(seconds * i / rounds)) {
        if (next == 0) std::shuffle(order.begin(), order.end(), random);
        call(order[next]);
        next = (next + 1) % order.size();
      }
      round.arrive_and_wait();
    }
    ++finished;
  };
  std::vector<std::jthread> workers;
  for (std::size_t thread = 0; thread < threads; ++thread) workers.emplace_back(work, thread);

  std::int64_t seen = 0;
  for (Clock::time_point moved = Clock::now(); finished < threads;) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    if (ended != seen) {
      seen = ended;
      moved = Clock::now();
    } else if (Clock::now() - moved > stuck) {
      std::cerr << "no call has ended for " << stuck.count() << " s; the threads' last calls:\n";
      for (const std::size_t task : current) std::cerr << "  " << tasks[task].name << '\n';
      std::_Exit(1);
    }
  }
  workers.clear();

  report.wrong = wrong;
  report.rarest = calls.front();
  for (std::size_t task = 0; task < tasks.size(); ++task) {
    report.calls += calls[task];
    report.rarest = std::min(report.rarest, calls[task].load());
    if (expected[task].starts_with("threw: ")) report.thrown += calls[task];
  }
  std::cout << tasks.size() << " tasks, " << threads << " threads, " << seconds << " s: " << report.calls
            << " calls (each task at least " << report.rarest << " times), " << report.thrown
            << " of them threw; " << report.wrong << " with another outcome than on one thread\n";
  return report;
}

}  // namespace soak
