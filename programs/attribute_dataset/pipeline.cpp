#include "pipeline.hpp"

#include <ATen/Parallel.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <latch>
#include <utility>

#include "../common/program.hpp"
#include "../common/run_folder.hpp"

namespace {

std::string log_of(const Block& block, int rank, double write_seconds) {
  std::string lines;
  for (const Outcome& outcome : block.outcomes) {
    nlohmann::json record = outcome.record;
    record["shard"] = block.shard;
    record["rank"] = rank;
    record["seconds"] = {{"read", outcome.read_seconds},
                         {"compute", outcome.compute_seconds},
                         {"write", write_seconds / static_cast<double>(block.outcomes.size())}};
    lines += text_of(record);
  }
  return lines;
}

}  // namespace

Pipeline::Pipeline(const DatasetOptions& options, const Manifest& manifest, const Shards& shards,
                   Explainer& explainer, int threads, int rank)
    : options_(options),
      manifest_(manifest),
      shards_(shards),
      explainer_(explainer),
      rank_(rank),
      loaded_(static_cast<std::size_t>(2 * options.batch + options.readers)),
      computed_(1) {
  // LibTorch takes the last number that any thread set as that of the threads to come.
  std::latch started(options.readers + options.writers);
  const auto single = [&started](const auto& stage) {
    at::set_num_threads(1);
    // The model goes first: where it has a thread on each core, one that waits for its turn holds up all of
    // them. On Linux this is of this thread alone.
    setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), 10);
    started.count_down();
    stage();
  };
  for (int i = 0; i < options.readers; ++i) {
    threads_.emplace_back([this, single] { single([this] { guarded([this] { read(); }); }); });
  }
  for (int i = 0; i < options.writers; ++i) {
    threads_.emplace_back([this, single] { single([this] { guarded([this] { write(); }); }); });
  }
  started.wait();
  threads_.emplace_back([this, threads] { guarded([this, threads] { compute(threads); }); });
}

Pipeline::~Pipeline() {
  {
    const std::lock_guard lock(mutex_);
    ended_ = true;
  }
  blocks_added_.notify_all();
  loaded_.close();
  computed_.close();
  for (std::thread& thread : threads_) thread.join();
}

void Pipeline::add(std::int64_t shard) {
  ++in_hand_;
  {
    const std::lock_guard lock(mutex_);
    blocks_.push_back(shard);
  }
  blocks_added_.notify_one();
}

bool Pipeline::hungry() const {
  const std::lock_guard lock(mutex_);
  return blocks_.empty() || (blocks_.size() == 1 && cursor_ > 0);
}

std::optional<Finished> Pipeline::next(std::chrono::milliseconds longest) {
  std::unique_lock lock(mutex_);
  event_.wait_for(lock, longest, [this] { return error_ || !finished_.empty(); });
  if (error_) std::rethrow_exception(error_);
  if (finished_.empty()) return {};
  Finished first = std::move(finished_.front());
  finished_.pop_front();
  --in_hand_;
  return first;
}

void Pipeline::guarded(const std::function<void()>& stage) {
  try {
    stage();
  } catch (...) {
    const std::lock_guard lock(mutex_);
    if (!error_) error_ = std::current_exception();
    event_.notify_all();
  }
}

void Pipeline::read() {
  for (;;) {
    std::unique_lock order(order_);
    std::int64_t shard = 0, index = 0;
    bool last = false;
    {
      std::unique_lock lock(mutex_);
      blocks_added_.wait(lock, [this] { return ended_ || !blocks_.empty(); });
      if (ended_) return;
      shard = blocks_.front();
      index = shard * options_.shard + cursor_++;
      last = cursor_ == options_.shard || index + 1 == manifest_.size();
      if (last) {
        blocks_.pop_front();
        cursor_ = 0;
      }
    }
    std::promise<Loaded> sample;
    if (!loaded_.push({.shard = shard, .last = last, .sample = sample.get_future()})) return;
    order.unlock();
    try {
      sample.set_value(explainer_.read(manifest_, index));
    } catch (...) {
      sample.set_exception(std::current_exception());
    }
  }
}

void Pipeline::compute(int threads) {
  // LibTorch's warnings are a thread's own. What a model deserves to be warned of all ranks meet: rank 0 says
  // it.
  const OnWarning warnings = rank_ == 0 ? say_warnings_once() : OnWarning([](const std::string&) {});
  at::set_num_threads(threads);
  at::manual_seed(options_.seed);
  Block block;
  std::vector<Loaded> batch;
  const auto flush = [&] {
    if (batch.empty()) return;
    const auto start = std::chrono::steady_clock::now();
    for (Outcome& outcome : explainer_.explain(std::exchange(batch, {}))) {
      block.outcomes.push_back(std::move(outcome));
      ++samples_done_;
    }
    busy_ = busy_ + std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  while (std::optional<Task> task = loaded_.pop()) {
    Loaded sample = task->sample.get();
    if (sample.problem.empty()) {
      batch.push_back(std::move(sample));
    } else {
      Outcome unreadable;
      unreadable.record = {{"sample", sample.index},
                           {"path", sample.name},
                           {"status", "unreadable"},
                           {"problem", sample.problem}};
      unreadable.read_seconds = sample.seconds;
      block.outcomes.push_back(std::move(unreadable));
      ++samples_done_;
    }
    if (std::ssize(batch) == options_.batch || task->last) flush();
    if (!task->last) continue;
    // A sample that cannot be read is there before its neighbours are computed.
    std::ranges::sort(block.outcomes, {}, [](const Outcome& outcome) {
      return outcome.record.at("sample").template get<std::int64_t>();
    });
    block.shard = task->shard;
    if (!computed_.push(std::exchange(block, {}))) return;
  }
}

void Pipeline::write() {
  while (const std::optional<Block> block = computed_.pop()) {
    const auto start = std::chrono::steady_clock::now();
    Finished finished{
        .shard = block->shard,
        .samples = std::ssize(block->outcomes),
        .failures = std::ranges::count_if(
            block->outcomes, [](const Outcome& outcome) { return outcome.record.at("status") != "done"; }),
        .summary = shards_.write(*block, explainer_),
        .log = {}};
    finished.log = log_of(*block, rank_,
                          std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    {
      const std::lock_guard lock(mutex_);
      finished_.push_back(std::move(finished));
    }
    event_.notify_all();
  }
}
