// From one picture to a data set, and from one machine to many: rank 0 hands out blocks of consecutive
// samples to all ranks, itself included; each reads, computes and writes its blocks in a pipeline.

#include <ATen/Parallel.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <exception>
#include <iomanip>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "../commands.hpp"
#include "../common/metrics.hpp"
#include "../common/program.hpp"
#include "../common/progress_line.hpp"
#include "../common/run_folder.hpp"
#include "aggregates.hpp"
#include "explainer.hpp"
#include "hand_out.hpp"
#include "manifest.hpp"
#include "options.hpp"
#include "pipeline.hpp"
#include "results.hpp"
#include "shard.hpp"
#include "team.hpp"

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// A mask that is not found is none, so wrong names would go unnoticed.
void look_for_masks(const DatasetOptions& options, const Manifest& manifest) {
  if (one_that_needs_masks(options.metrics).empty()) return;
  const std::int64_t first = std::min<std::int64_t>(manifest.size(), 1000);
  for (std::int64_t i = 0; i < first; ++i) {
    if (!manifest[i].mask.empty()) return;
  }
  std::cerr << "warning: none of the first " << first
            << " samples has a mask; in --masks it has its picture's name, as the manifest writes it\n";
}

/// --threads or OMP_NUM_THREADS, or else this rank's share of the cores that it may use: two ranks that each
/// take all of them slow each other many times.
int threads_of(const DatasetOptions& options, Team& team) {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  sched_getaffinity(0, sizeof(cores), &cores);
  std::uint64_t key = 0;
  for (std::size_t core = 0; core < CPU_SETSIZE; ++core) {
    if (CPU_ISSET(core, &cores)) key = key * 1099511628211U + core + 1;
  }
  const int ranks = team.sharing(key);
  if (options.threads > 0) return options.threads;
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nothing here writes the environment
  if (std::getenv("OMP_NUM_THREADS") != nullptr) return at::get_num_threads();
  return std::max(1, CPU_COUNT(&cores) / ranks);
}

/// "3:07", "2:15:00"
std::string duration(double seconds) {
  const auto whole = static_cast<long>(std::min(seconds, 1e9));
  std::ostringstream text;
  text << std::setfill('0');
  if (whole >= 3600) text << whole / 3600 << ':' << std::setw(2);
  text << whole / 60 % 60 << ':' << std::setw(2) << whole % 60;
  return text.str();
}

/// Rank 0's other part: hands out, keeps the log and says how far all are.
class Coordinator {
 public:
  Coordinator(const DatasetOptions& options, Results& results, std::int64_t samples, Team& team)
      : options_(options),
        results_(results),
        hand_out_(results.missing(), static_cast<std::size_t>(team.size())),
        ranks_(team.size()),
        to_do_(std::ssize(results.missing())) {
    for (const std::int64_t shard : results.missing()) {
      total_ += std::min(options.shard, samples - shard * options.shard);
    }
  }

  Answer ask(bool idle) {
    const Answer answer = hand_out_.ask(idle);
    if (answer.kind == Answer::Kind::none) ++dismissed_;
    return answer;
  }

  void done(std::int64_t samples, std::int64_t failures, const std::string& log) {
    --to_do_;
    samples_ += samples;
    failures_ += failures;
    results_.log(log);
  }

  /// Is all done, and has every rank been told that there is no more? Then no message is on its way.
  bool all_done() const { return to_do_ == 0 && dismissed_ == ranks_; }
  std::int64_t samples() const { return samples_; }

  /// `ahead`: samples that this rank has computed and that are not in a finished block.
  void show(std::int64_t ahead) {
    const double seconds = seconds_since(start_);
    const bool terminal = line_.shown();
    if (seconds - shown_ < (terminal ? 0.2 : options_.every)) return;
    shown_ = seconds;
    const std::int64_t now = std::min(samples_ + ahead, total_);
    std::ostringstream text;
    text << std::setprecision(3) << static_cast<double>(now) / seconds << "/s, ";
    if (now > 0)
      text << duration(seconds * static_cast<double>(total_ - now) / static_cast<double>(now)) << " left, ";
    text << failures_ << " failed";
    if (terminal) {
      line_.at(now, total_, text.str());
    } else {
      std::cerr << now << '/' << total_ << ", " << text.str() << '\n';
    }
  }

  void clear() const { line_.clear(); }

 private:
  const DatasetOptions& options_;
  Results& results_;
  HandOut hand_out_;
  int ranks_, dismissed_ = 0;
  std::int64_t to_do_, total_ = 0, samples_ = 0, failures_ = 0;
  Clock::time_point start_ = Clock::now();
  double shown_ = 0.0;
  ProgressLine line_;
};

/// One rank's way from its first question to the end of the run.
class Rank {
 public:
  Rank(Team& team, Pipeline& pipeline, Aggregates& aggregates, Coordinator* coordinator)
      : team_(team), pipeline_(pipeline), aggregates_(aggregates), coordinator_(coordinator) {}

  void work() {
    while (!ended_) {
      const auto longest = std::chrono::milliseconds(team_.size() > 1 ? 1 : 50);
      while (std::optional<Finished> block =
                 pipeline_.next(asking() ? std::chrono::milliseconds(0) : longest)) {
        aggregates_.add(block->summary);
        computed_ += block->samples;
        report(*block);
        if (asking()) break;
      }
      if (asking()) ask();
      while (const auto message = team_.receive())
        take(message->first, nlohmann::json::parse(message->second));
      if (coordinator_ == nullptr) continue;
      coordinator_->show(pipeline_.samples_done() - computed_);
      if (!coordinator_->all_done()) continue;
      for (int rank = 1; rank < team_.size(); ++rank) team_.send(rank, R"({"end":true})");
      ended_ = true;
    }
  }

 private:
  /// Is it time to ask for a block?
  bool asking() const {
    if (asked_ || no_more_) return false;
    return pipeline_.in_hand() == 0 || (!only_when_idle_ && pipeline_.hungry());
  }

  void ask() {
    const bool idle = pipeline_.in_hand() == 0;
    if (coordinator_ != nullptr) return take(coordinator_->ask(idle));
    asked_ = true;
    team_.send(0, nlohmann::json{{"ask", idle}}.dump());
  }

  void report(const Finished& block) {
    if (coordinator_ != nullptr) return coordinator_->done(block.samples, block.failures, block.log);
    team_.send(
        0,
        nlohmann::json{{"samples", block.samples}, {"failures", block.failures}, {"log", block.log}}.dump());
  }

  void take(const Answer& answer) {
    asked_ = false;
    only_when_idle_ = answer.kind == Answer::Kind::later;
    no_more_ = answer.kind == Answer::Kind::none;
    if (answer.kind == Answer::Kind::block) pipeline_.add(answer.block);
  }

  void take(int from, const nlohmann::json& message) {
    if (message.contains("ask")) {
      const Answer answer = coordinator_->ask(message["ask"].get<bool>());
      team_.send(from, nlohmann::json{{"answer", answer.kind}, {"block", answer.block}}.dump());
    } else if (message.contains("log")) {
      coordinator_->done(message["samples"].get<std::int64_t>(), message["failures"].get<std::int64_t>(),
                         message["log"].get<std::string>());
    } else if (message.contains("answer")) {
      take(Answer{.kind = message["answer"].get<Answer::Kind>(),
                  .block = message["block"].get<std::int64_t>()});
    } else {
      ended_ = true;
    }
  }

  Team& team_;
  Pipeline& pipeline_;
  Aggregates& aggregates_;
  Coordinator* coordinator_;  // rank 0's
  bool asked_ = false, only_when_idle_ = false, no_more_ = false, ended_ = false;
  std::int64_t computed_ = 0;
};

void print(const nlohmann::json& summary, std::int64_t computed, double seconds, double busy, int ranks,
           int threads) {
  const nlohmann::json& status = summary["status"];
  std::cout << summary["samples"] << " samples: " << status["done"] << " done";
  for (const char* problem : {"non_finite", "failed", "unreadable"}) {
    if (status[problem] != 0) std::cout << ", " << status[problem] << ' ' << problem;
  }
  std::cout << std::setprecision(3) << "\n"
            << computed << " computed now, in " << seconds << " s ("
            << static_cast<double>(computed) / seconds << "/s) by " << ranks
            << (ranks == 1 ? " rank" : " ranks") << " of " << threads
            << (threads == 1 ? " thread" : " threads");
  if (computed > 0) std::cout << "; rank 0's model computed for " << 100.0 * busy / seconds << "% of it";
  std::cout << '\n';
  for (const nlohmann::json& figure : summary["figures"]) {
    std::cout << "  " << figure["name"].get<std::string>();
    if (const auto method = figure["method"].get<std::string>(); !method.empty())
      std::cout << " of " << method;
    std::cout << ": mean " << figure["mean"].get<double>();
    if (figure["count"] != status["done"]) std::cout << " of " << figure["count"] << " samples";
    std::cout << '\n';
  }
}

void check(const DatasetOptions& options, Team& team) {
  std::array problems{static_cast<std::uint64_t>(verify(options, team.rank(), team.size()))};
  team.sum(problems, 1);
  if (team.rank() != 0) return;
  const std::uint64_t count = problems[0];
  if (count > 0) {
    throw salience::FileError::at(
        options.output,
        std::to_string(count) + (count == 1 ? " problem; it is" : " problems; each is") + " named above");
  }
  std::cout << "every file is there, and is what was written\n";
}

void attribute(DatasetOptions options, Team& team) {
  const auto begin = Clock::now();
  const bool first = team.rank() == 0;
  const std::string taken = take_input(options);
  if (first && !taken.empty()) std::cout << taken << '\n';
  const int threads = threads_of(options, team);
  const Manifest manifest(options);
  const Shards shards(options);
  std::unique_ptr<Results> results;
  if (first) {
    look_for_masks(options, manifest);
    results = std::make_unique<Results>(options, manifest, shards);
  }
  const nlohmann::json settings = settings_of(options, manifest);
  const nlohmann::json known = nlohmann::json::parse(team.from_first(
      first ? text_of({{"finished", results->finished()}, {"settings", settings}}) : std::string()));
  if (const std::string other = difference(known["settings"], settings); !other.empty()) {
    throw salience::FileError::at(options.output, "this rank sees another " + other + " than rank 0");
  }
  Explainer explainer(options);
  Aggregates aggregates(options);
  const auto finished = known["finished"].get<std::vector<std::int64_t>>();
  for (std::size_t i = 0; i < finished.size(); ++i) {
    if (static_cast<int>(i % static_cast<std::size_t>(team.size())) == team.rank()) {
      aggregates.add(shards.read(finished[i]));
    }
  }

  const auto start = Clock::now();
  Pipeline pipeline(options, manifest, shards, explainer, threads, team.rank());
  std::optional<Coordinator> coordinator;
  if (first) coordinator.emplace(options, *results, manifest.size(), team);
  Rank(team, pipeline, aggregates, first ? &*coordinator : nullptr).work();
  const double seconds = seconds_since(start);
  aggregates.merge(team);
  if (!first) return;
  coordinator->clear();
  const nlohmann::json summary = results->complete(aggregates, explainer.labels());
  print(summary, coordinator->samples(), seconds, pipeline.busy(), team.size(), threads);
  std::cout << "start-up " << std::chrono::duration<double>(start - begin).count() << " s\n";
  if (summary["status"]["done"] == 0 && summary["status"]["non_finite"] == 0) {
    throw salience::FileError::at(options.output,
                                  "no sample could be attributed; log.jsonl says why of each");
  }
}

/// What is wrong with a command line is so on all ranks: rank 0 says it.
int parse_once(const std::string& called, int argc, char** argv, DatasetOptions& options, const Team& team) {
  if (team.rank() > 0) {
    std::cout.setstate(std::ios::failbit);
    std::cerr.setstate(std::ios::failbit);
  }
  const int status = parse(called, argc, argv, options);
  std::cout.clear();
  std::cerr.clear();
  return status;
}

/// A rank that fails ends all of them, with its own message alone.
void run(const std::string& called, const DatasetOptions& options, Team& team) {
  try {
    if (options.verify) {
      check(options, team);
    } else {
      attribute(options, team);
    }
  } catch (const std::exception& error) {
    if (team.size() == 1) throw;
    const std::string text = error.what();
    std::cerr << called + ", rank " + std::to_string(team.rank()) + ": " + text.substr(0, text.find('\n')) +
                     '\n';
    team.abort();
  }
}

}  // namespace

int attribute_dataset_command(const std::string& called, int argc, char** argv) {
  // The heaps that other threads than main get are small, and given back and fetched again all the time.
  mallopt(M_ARENA_MAX, 1);  // NOLINT(concurrency-mt-unsafe): there are none yet
  DatasetOptions options;
  const std::unique_ptr<Team> team = join_team();
  return run_program(
      called, options, [&] { return parse_once(called, argc, argv, options, *team); },
      [&] { run(called, options, *team); });
}
