// Reading, computing and writing side by side on one rank: readers decode ahead of the model, writers write
// behind it, and whoever is ahead waits, so that memory does not grow with the number of samples.
//
//     blocks -> readers --(a few batches)--> model --(a block)--> writers -> finished
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <future>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "bounded_queue.hpp"
#include "explainer.hpp"
#include "manifest.hpp"
#include "options.hpp"
#include "shard.hpp"

/// A shard that is on the disk.
struct Finished {
  std::int64_t shard = 0;
  std::int64_t samples = 0, failures = 0;
  ShardSummary summary;
  std::string log;  ///< one line for each sample
};

class Pipeline {
 public:
  /// Starts the threads. The model's computes with `threads` of LibTorch's, all others alone.
  Pipeline(const DatasetOptions& options, const Manifest& manifest, const Shards& shards,
           Explainer& explainer, int threads, int rank);
  Pipeline(const Pipeline&) = delete;
  Pipeline& operator=(const Pipeline&) = delete;
  /// Drops what is not finished.
  ~Pipeline();

  void add(std::int64_t shard);

  /// Blocks that were added and have not come back.
  std::int64_t in_hand() const { return in_hand_; }

  /// Have the readers begun with all blocks that they were given? Time to ask for the next.
  bool hungry() const;

  /// The next block that is finished; waits for it, but not longer. Throws what stopped a thread.
  std::optional<Finished> next(std::chrono::milliseconds longest);

  std::int64_t samples_done() const { return samples_done_; }

  /// Seconds in which the model computed.
  double busy() const { return busy_; }

 private:
  struct Task {
    std::int64_t shard;
    bool last;  ///< of its block
    std::future<Loaded> sample;
  };

  void read();
  void compute(int threads);
  void write();
  void guarded(const std::function<void()>& stage);

  const DatasetOptions& options_;
  const Manifest& manifest_;
  const Shards& shards_;
  Explainer& explainer_;
  int rank_;

  mutable std::mutex mutex_;  // of the blocks, of what is finished and of the error
  std::condition_variable blocks_added_, event_;
  std::deque<std::int64_t> blocks_;
  std::int64_t cursor_ = 0;  // samples of the first of them that are taken
  std::deque<Finished> finished_;
  std::exception_ptr error_;
  bool ended_ = false;

  std::mutex order_;  // who holds it takes the next sample
  BoundedQueue<Task> loaded_;
  BoundedQueue<Block> computed_;
  std::atomic<std::int64_t> in_hand_ = 0, samples_done_ = 0;
  std::atomic<double> busy_ = 0.0;
  std::vector<std::thread> threads_;
};
