#include "../../programs/attribute_dataset/hand_out.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <vector>

namespace {

using Kind = Answer::Kind;

TEST_CASE("blocks are handed out once each, in their order, and then none") {
  HandOut hand_out({3, 5, 8}, 1);
  for (const std::int64_t block : {3, 5, 8}) {
    CHECK(hand_out.left() > 0);
    const Answer answer = hand_out.ask(true);
    CHECK(answer.kind == Kind::block);
    CHECK(answer.block == block);
  }
  CHECK(hand_out.ask(true).kind == Kind::none);
  CHECK(hand_out.ask(false).kind == Kind::none);
}

TEST_CASE("a rank alone need never wait for its next block") {
  HandOut hand_out({0, 1}, 1);
  CHECK(hand_out.ask(true).block == 0);
  CHECK(hand_out.ask(false).block == 1);
  CHECK(hand_out.ask(false).kind == Kind::none);
}

TEST_CASE("the last blocks, one for each other rank, are kept for ranks without work") {
  HandOut hand_out({0, 1, 2, 3, 4}, 3);
  CHECK(hand_out.ask(false).block == 0);  // five left: enough to look ahead
  CHECK(hand_out.ask(false).block == 1);
  CHECK(hand_out.ask(false).block == 2);  // as many as ranks: one for this one, and one for each other
  for (int i = 0; i < 4; ++i) CHECK(hand_out.ask(false).kind == Kind::later);
  CHECK(hand_out.left() == 2);
  CHECK(hand_out.ask(false).kind == Kind::later);
  CHECK(hand_out.ask(true).block == 3);
  CHECK(hand_out.ask(true).block == 4);
  CHECK(hand_out.ask(true).kind == Kind::none);
}

TEST_CASE("without blocks there are none from the start") {
  HandOut hand_out({}, 4);
  CHECK(hand_out.ask(true).kind == Kind::none);
}

}  // namespace
