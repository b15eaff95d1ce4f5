// Which rank gets which block: rank 0's part of the work, and what benchmarks/hand_out.cpp simulates.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

/// What a rank is told that asks for work.
struct Answer {
  enum class Kind {
    block,  ///< take this one
    later,  ///< ask again when nothing is in hand
    none,   ///< there are no more
  };
  Kind kind;
  std::int64_t block = -1;
};

/// Hands out blocks one by one, in their order, to whoever asks. A rank asks early, while it still computes a
/// block, so that it need not wait for the next; that is granted while at least as many blocks are left as
/// there are ranks. The last ones go only to ranks that have nothing to do: two in one hand would let others
/// idle.
class HandOut {
 public:
  HandOut(std::vector<std::int64_t> blocks, std::size_t ranks) : blocks_(std::move(blocks)), ranks_(ranks) {}

  Answer ask(bool idle) {
    if (left() == 0) return {.kind = Answer::Kind::none};
    if (!idle && left() < ranks_) return {.kind = Answer::Kind::later};
    return {.kind = Answer::Kind::block, .block = blocks_[next_++]};
  }

  std::size_t left() const { return blocks_.size() - next_; }

 private:
  std::vector<std::int64_t> blocks_;
  std::size_t ranks_;
  std::size_t next_ = 0;
};
