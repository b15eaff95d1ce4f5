// The ranks of one run: this process alone, or those that mpirun started.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>

/// Used by one thread of each rank. Nothing in it waits by turning in circles, which would take a core from
/// the ranks that still compute, but the two that say so.
class Team {
 public:
  Team() = default;
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;
  virtual ~Team() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;

  /// On how many ranks of this machine the number is the same as here, this one included. All ranks call it.
  virtual int sharing(std::uint64_t number) = 0;

  virtual void send(int rank, const std::string& message) = 0;

  /// A message that has arrived, and whose it is.
  virtual std::optional<std::pair<int, std::string>> receive() = 0;

  /// Rank 0's text on all ranks. All ranks call it, and wait busily.
  virtual std::string from_first(std::string text) = 0;

  /// Rank 0 gets the sums over all ranks, integer by integer, each of `width` words as ExactSums has them.
  /// All ranks call it, and wait busily.
  virtual void sum(std::span<std::uint64_t> words, std::size_t width) = 0;

  /// All ranks get the largest values of all, element by element. All ranks call it, and wait busily.
  virtual void maximum(std::span<std::int64_t> values) = 0;

  /// Ends all ranks' processes.
  [[noreturn]] virtual void abort() = 0;
};

/// The ranks that mpirun started, if it did and the program was built with MPI; else this process alone.
std::unique_ptr<Team> join_team();
