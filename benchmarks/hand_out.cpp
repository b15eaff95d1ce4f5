// What becomes of the hand-out of attribute_dataset with many ranks? Its own scheduling code in a simulation:
// samples whose time is heavy-tailed, one rank 0 that answers one message after the other.
//
//     hand_out [--ranks 10000] [--samples 100000000] [--shard 64] [--mean 0.1] [--tail 1.5] [--seed 0]
//
// Prints for each rule the time of the run, the share of the ranks' time that was computing (efficiency), and
// how busy rank 0 was; before that, what a message costs on this machine.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <iomanip>
#include <iostream>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <queue>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "../programs/attribute_dataset/hand_out.hpp"

namespace {

struct Setting {
  std::size_t ranks = 10'000;
  std::int64_t samples = 100'000'000;
  std::int64_t shard = 64;
  double mean = 0.1;       ///< seconds of a sample
  double tail = 1.5;       ///< of its Pareto distribution: below 2 its variance is infinite
  double longest = 60.0;   ///< seconds, where the distribution is cut
  double read = 0.05;      ///< seconds until the first batch of a block is read, if nothing else is computed
  double latency = 50e-6;  ///< seconds of a message on its way
  double poll = 1e-3;      ///< seconds between a rank's looks for messages
  std::uint64_t seed = 0;
};

/// Hands out as `HandOut` does, but answers early questions always or never.
struct Rule {
  std::string name;
  bool early;   ///< ranks ask while they compute
  bool always;  ///< and get a block also when few are left
};

/// Seconds that rank 0 needs for a question and for a report of a block with its log lines.
std::pair<double, double> message_costs(std::int64_t shard) {
  constexpr int repetitions = 2000;
  std::vector<std::int64_t> blocks(2 * repetitions);
  std::iota(blocks.begin(), blocks.end(), 0);
  HandOut hand_out(blocks, 2);
  const auto seconds = [](const auto& work) {
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < repetitions; ++i) work();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() / repetitions;
  };
  const std::string question = nlohmann::json{{"ask", true}}.dump();
  std::size_t kept = 0;  // so that the work is not optimised away
  const double ask = seconds([&] {
    const Answer answer = hand_out.ask(nlohmann::json::parse(question)["ask"].get<bool>());
    kept += nlohmann::json{{"answer", answer.kind}, {"block", answer.block}}.dump().size();
  });
  std::string log;
  for (std::int64_t i = 0; i < shard; ++i) log += std::string(260, '"') + '\n';  // each to be escaped
  const std::string report = nlohmann::json{{"samples", shard}, {"failures", 0}, {"log", log}}.dump();
  const double done =
      seconds([&] { kept += nlohmann::json::parse(report)["log"].get<std::string>().size(); });
  return {kept > 0 ? ask : 0.0, done};
}

struct Outcome {
  double seconds;     ///< until the last block is done
  double efficiency;  ///< computing, over ranks x seconds
  double busy;        ///< share of the time in which rank 0 handled messages
  double waited;      ///< seconds that a rank had nothing to do while there were blocks left, mean
};

Outcome simulate(const Setting& setting, const Rule& rule, const std::vector<double>& block_seconds,
                 double ask_cost, double done_cost) {
  std::vector<std::int64_t> blocks(block_seconds.size());
  std::iota(blocks.begin(), blocks.end(), 0);
  HandOut hand_out(blocks, rule.always ? 0 : setting.ranks);

  struct Rank {
    std::deque<std::int64_t> in_hand;
    bool computing = false, asked = false, later = false, none = false;
    double idle_since = 0.0;
  };
  enum class Kind { question, answer, finished };
  struct Event {
    double time;
    Kind kind;
    std::size_t rank;
    bool idle;
    Answer answer;
    bool operator>(const Event& other) const { return time > other.time; }
  };
  std::vector<Rank> ranks(setting.ranks);
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events;
  double server_free = 0.0, server_busy = 0.0, waited = 0.0, end = 0.0;

  const auto ask = [&](std::size_t r, double time) {
    Rank& rank = ranks[r];
    const bool idle = !rank.computing && rank.in_hand.empty();
    if (rank.asked || rank.none || (!idle && (!rule.early || rank.later || !rank.in_hand.empty()))) return;
    rank.asked = true;
    events.push({time + setting.latency, Kind::question, r, idle, {}});
  };
  const auto start = [&](std::size_t r, double time) {
    Rank& rank = ranks[r];
    if (rank.computing || rank.in_hand.empty()) return;
    waited += time - rank.idle_since;
    const double wait = rank.idle_since < time ? setting.read : 0.0;
    waited += wait;
    rank.computing = true;
    events.push({time + wait + block_seconds[static_cast<std::size_t>(rank.in_hand.front())],
                 Kind::finished,
                 r,
                 false,
                 {}});
    rank.in_hand.pop_front();
  };

  for (std::size_t r = 0; r < setting.ranks; ++r) ask(r, 0.0);
  while (!events.empty()) {
    const Event event = events.top();
    events.pop();
    Rank& rank = ranks[event.rank];
    if (event.kind == Kind::question) {
      const double begin = std::max(event.time, server_free);
      server_free = begin + ask_cost;
      server_busy += ask_cost;
      events.push({server_free + setting.latency + setting.poll / 2, Kind::answer, event.rank, false,
                   hand_out.ask(event.idle)});
    } else if (event.kind == Kind::answer) {
      rank.asked = false;
      rank.later = event.answer.kind == Answer::Kind::later;
      rank.none = event.answer.kind == Answer::Kind::none;
      if (event.answer.kind == Answer::Kind::block) rank.in_hand.push_back(event.answer.block);
      start(event.rank, event.time);
      ask(event.rank, event.time);
    } else {
      rank.computing = false;
      rank.idle_since = event.time;
      end = std::max(end, event.time);
      server_free = std::max(event.time + setting.latency, server_free) + done_cost;
      server_busy += done_cost;
      start(event.rank, event.time);
      ask(event.rank, event.time);
    }
  }
  const double work = std::accumulate(block_seconds.begin(), block_seconds.end(), 0.0);
  const auto count = static_cast<double>(setting.ranks);
  return {.seconds = end,
          .efficiency = work / (count * end),
          .busy = server_busy / end,
          .waited = waited / count};
}

void print(const std::string& name, const Outcome& outcome) {
  std::cout << std::left << std::setw(34) << name << std::right << std::setw(10) << outcome.seconds
            << std::setw(12) << outcome.efficiency << std::setw(12) << outcome.busy << std::setw(12)
            << outcome.waited << '\n';
}

void run(const Setting& setting) {
  // A Pareto distribution of this mean: most samples are quick, a few take very long.
  std::mt19937_64 random(setting.seed);
  const double scale = setting.mean * (setting.tail - 1.0) / setting.tail;
  std::vector<double> blocks(static_cast<std::size_t>((setting.samples + setting.shard - 1) / setting.shard));
  double longest = 0.0;
  for (std::int64_t i = 0; i < setting.samples; ++i) {
    const double uniform = 1.0 - std::generate_canonical<double, 53>(random);
    const double seconds = std::min(scale * std::pow(uniform, -1.0 / setting.tail), setting.longest);
    blocks[static_cast<std::size_t>(i / setting.shard)] += seconds;
  }
  for (const double block : blocks) longest = std::max(longest, block);
  const double work = std::accumulate(blocks.begin(), blocks.end(), 0.0);
  const auto ranks = static_cast<double>(setting.ranks);

  const auto [ask, done] = message_costs(setting.shard);
  std::cout << std::setprecision(4) << "a question costs rank 0 " << 1e6 * ask << " us, a report "
            << 1e6 * done << " us\n"
            << setting.samples << " samples in " << blocks.size() << " blocks, " << setting.ranks
            << " ranks; all computing " << work / ranks << " s each; the longest block " << longest
            << " s\n\n"
            << "rule                                 seconds  efficiency  rank 0 busy  waited (s)\n";
  for (const Rule& rule : {Rule{"as the program does", true, false}, Rule{"never ask early", false, false},
                           Rule{"ask early to the end", true, true}}) {
    print(rule.name, simulate(setting, rule, blocks, ask, done));
  }
  // Without a hand-out: to each rank the same number of blocks.
  std::vector<double> fixed(setting.ranks);
  for (std::size_t i = 0; i < blocks.size(); ++i) fixed[i % setting.ranks] += blocks[i];
  const double end = *std::ranges::max_element(fixed);
  print("every rank the same blocks",
        {.seconds = end, .efficiency = work / (ranks * end), .busy = 0.0, .waited = 0.0});
}

}  // namespace

int main(int argc, char** argv) {
  Setting setting;
  CLI::App app{"Simulates the hand-out of attribute_dataset with many ranks."};
  app.option_defaults()->always_capture_default();
  app.add_option("--ranks", setting.ranks)->check(CLI::Range(1, 10'000'000));
  app.add_option("--samples", setting.samples)->check(CLI::Range(1LL, 10'000'000'000LL));
  app.add_option("--shard", setting.shard)->check(CLI::Range(1, 1'000'000));
  app.add_option("--mean", setting.mean, "seconds of a sample");
  app.add_option("--tail", setting.tail, "exponent of the Pareto distribution")
      ->check(CLI::Range(1.01, 100.0));
  app.add_option("--longest", setting.longest, "seconds at which it is cut");
  app.add_option("--read", setting.read,
                 "seconds until a block's first batch is read, where nothing is computed beside");
  app.add_option("--latency", setting.latency, "seconds of a message on its way");
  app.add_option("--seed", setting.seed);
  CLI11_PARSE(app, argc, argv);
  run(setting);
}
