// Where the channels of a tensor are, and what LibTorch's operators do to that.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include <salience/tensor/layer.hpp>
#include <salience/tensor/operator_kinds.hpp>

namespace salience::detail {

/// What is known of a tensor's layout.
struct ChannelPlace {
  bool data = false;      ///< depends on the model's input; of parameters nothing is said
  std::int64_t rank = 0;  ///< how many dimensions; 0: not known
  /// The dimension of the channels; counted from the end, so negative, only where the rank is not known.
  std::optional<std::int64_t> channel{};
  std::int64_t count = 0;  ///< how many channels; 0: not known

  bool operator==(const ChannelPlace&) const = default;

  /// The dimension, counted from the end.
  std::optional<std::int64_t> from_end() const {
    if (channel && rank > 0) return *channel - rank;
    return channel && *channel < 0 ? channel : std::nullopt;
  }
  bool is_last() const { return from_end() == -1; }

  /// The same with other channels, and their number.
  ChannelPlace with(std::optional<std::int64_t> dimension, std::int64_t channels) const {
    if (dimension && *dimension < 0 && rank > 0) *dimension += rank;
    return {data, rank, dimension, dimension ? channels : 0};
  }
  ChannelPlace unknown() const { return with({}, 0); }

  /// A dimension as a user counts it, from the front; nothing if that is from the end of an unknown rank.
  std::optional<std::int64_t> counted(std::optional<std::int64_t> dimension) const {
    if (!dimension || *dimension >= 0) return dimension;
    return rank > 0 ? std::optional(*dimension + rank) : std::nullopt;
  }
};

inline bool same_channel(const ChannelPlace& a, const ChannelPlace& b) {
  if (a.from_end() && b.from_end()) return a.from_end() == b.from_end();
  return a.channel == b.channel;
}

/// What is known of a value that is either of the two: never more than of one of them.
inline ChannelPlace either(const ChannelPlace& a, const ChannelPlace& b) {
  if (!a.data) return b;
  if (!b.data) return a;
  ChannelPlace result = a.rank == 0 ? a : b;
  if (a.rank > 0 && b.rank > 0 && a.rank != b.rank) return {.data = true};
  if (!a.channel || !b.channel || !same_channel(a, b)) return result.unknown();
  if (a.count != b.count) result.count = 0;
  return result;
}

/// What is known of a value that two operands give, element by element or one behind the other. An operand of
/// which nothing is known does not move the channels of the other.
inline ChannelPlace both(const ChannelPlace& a, const ChannelPlace& b) {
  if (!a.data) return b;
  if (!b.data) return a;
  // Operands are aligned at their last dimensions.
  const bool a_longer = a.rank >= b.rank;
  const ChannelPlace &longer = a_longer ? a : b, &other = a_longer ? b : a;
  if (!other.channel) return longer;
  if (longer.channel) return same_channel(a, b) ? longer : longer.unknown();
  if (longer.rank > 0 && !other.from_end()) return longer.with(other.channel, other.count);
  return longer.rank > 0 ? longer.with(other.from_end(), other.count) : other;
}

inline ChannelAxis axis_of(const ChannelPlace& place) {
  if (place.rank == 2) return ChannelAxis::unknown;  // (N, C): first and last
  if (place.is_last()) return ChannelAxis::last;
  return place.channel == 1 ? ChannelAxis::first : ChannelAxis::unknown;
}

/// The place after the dimensions were put in this order.
inline ChannelPlace permuted(ChannelPlace place, const std::vector<std::int64_t>& order) {
  place = ChannelPlace{place.data, static_cast<std::int64_t>(order.size()), {}, 0}.with(place.channel,
                                                                                        place.count);
  if (!place.channel) return place;
  for (std::size_t i = 0; i < order.size(); ++i) {
    if (place.counted(order[i]) == place.channel) {
      return place.with(static_cast<std::int64_t>(i), place.count);
    }
  }
  return place.unknown();
}

inline ChannelPlace transposed(const ChannelPlace& place, std::optional<std::int64_t> a,
                               std::optional<std::int64_t> b) {
  a = place.counted(a);
  b = place.counted(b);
  if (!a || !b || !place.channel || *place.channel < 0) return place.unknown();
  if (place.channel == a) return place.with(b, place.count);
  return place.channel == b ? place.with(a, place.count) : place;
}

/// The place after `removed` dimensions from `first` on have become `inserted` new ones.
inline ChannelPlace replaced(ChannelPlace place, std::optional<std::int64_t> first, std::int64_t removed,
                             std::int64_t inserted) {
  const std::int64_t rank = place.rank;
  place.rank = rank > 0 ? rank - removed + inserted : 0;
  if (!first || !place.channel || *place.channel < 0) return place.unknown();
  if (*place.channel < *first) return place;
  if (*place.channel < *first + removed) return place.unknown();
  place.channel = *place.channel - removed + inserted;
  return place;
}

inline ChannelPlace flattened(const ChannelPlace& place, std::optional<std::int64_t> first,
                              std::optional<std::int64_t> last) {
  const bool all = last == -1;
  first = place.counted(first);
  last = place.counted(last);
  if (first && last) return replaced(place, first, *last - *first + 1, 1);
  ChannelPlace result{place.data, first && all ? *first + 1 : 0, {}, 0};
  if (first && place.channel && 0 <= *place.channel && *place.channel < *first) {
    result.channel = place.channel;
    result.count = place.count;
  }
  return result;
}

/// Which operator this is in what it does to channels: the place of its (first) result.
///
/// `in` has its arguments: `place(i)` of a tensor or of the elements of a list; `integer(i)` and `flag(i)`,
/// optional; `integers(i)`, an optional vector; `length(i)` of a list, 0 if not known; `keeps(i, dimension,
/// position)`, whether the size at that position of the list i is known to be the first argument's in this
/// dimension; `all()`, the place of all tensors together, `spatial()`, over how many dimensions a convolution
/// moves (0: not known), and `channels()`, of what a convolution or linear layer gives.
template <class Arguments>
ChannelPlace channels_after(std::string_view kind, const Arguments& in) {
  kind = out_of_place(kind);
  if (is_convolution(kind)) {
    return {true, in.spatial() > 0 ? in.spatial() + 2 : 0, 1, in.channels()};
  }
  if (is_elementwise(kind)) return in.all();
  const ChannelPlace place = in.place(0);
  // A matrix on the left mixes the rows of what is on the right, and moves nothing.
  if (is_product(kind) && !place.data) return in.place(1).with(in.place(1).channel, 0);
  if (!place.data) return {.data = in.all().data};
  if (is_channel_norm(kind)) {
    return !place.channel || *place.channel == 1 ? place.with(1, place.count) : place.unknown();
  }
  if (kind == "aten::linear" || (is_product(kind) && !in.place(1).data)) {
    // Along another dimension than the channels' it mixes places, as in an MLP-Mixer. mm and bmm are what
    // matmul is made of, behind a transpose or not: where the channels were not known they are not after
    // them.
    if (!place.channel && (kind == "aten::mm" || kind == "aten::bmm")) return place;
    return !place.channel || place.is_last() ? place.with(-1, in.channels()) : place;
  }
  if (is_last_norm(kind)) return place.channel || in.length(1) != 1 ? place : place.with(-1, 0);
  if (keeps_dimensions(kind)) return place.with(place.channel, 0);
  if (is_part(kind) || is_parts(kind)) {
    const auto along = place.counted(in.integer(is_part(kind) ? 1 : 2));
    return place.with(place.channel, along && along != place.channel ? place.count : 0);
  }
  if (kind == "aten::permute") {
    const auto order = in.integers(1);
    return order ? permuted(place, *order) : place.unknown();
  }
  if (is_transpose(kind)) return transposed(place, in.integer(1), in.integer(2));
  if (kind == "aten::mT" || kind == "aten::adjoint") return transposed(place, -2, -1);
  if (kind == "aten::flatten") return flattened(place, in.integer(1), in.integer(2));
  if (kind == "aten::unflatten") {
    ChannelPlace result = replaced(place, place.counted(in.integer(1)), 1, in.length(2));
    return in.length(2) > 0 ? result : ChannelPlace{.data = true};
  }
  if (kind == "aten::unsqueeze") {
    auto at = in.integer(1);
    if (at && *at < 0) at = place.rank > 0 ? std::optional(*at + place.rank + 1) : std::nullopt;
    return replaced(place, at, 0, 1);
  }
  if (kind == "aten::squeeze") {  // a dimension that may stay
    const auto at = place.counted(in.integer(1));
    const bool before = at && place.channel && 0 <= *place.channel && *place.channel < *at;
    return before ? ChannelPlace{true, 0, place.channel, place.count} : ChannelPlace{.data = true};
  }
  if (kind == "aten::select" || kind == "aten::unbind") {
    return replaced(place, place.counted(in.integer(1)), 1, 0);
  }
  if (is_cat(kind)) return place.with(place.channel, 0);
  if (kind == "aten::stack") return replaced(place, place.counted(in.integer(1)), 0, 1);
  if (is_mean(kind)) {
    auto along = in.integers(1);
    const auto keep = in.flag(2);
    if (!along || !keep) return {.data = true};
    if (*keep) return place;
    ChannelPlace result = place;
    for (std::int64_t& one : *along) {
      const auto dimension = place.counted(one);
      if (!dimension) return {.data = true};
      one = *dimension;
    }
    std::sort(along->rbegin(), along->rend());
    for (const std::int64_t one : *along) result = replaced(result, one, 1, 0);
    return result;
  }
  if (kind == "aten::expand" || kind == "aten::repeat") {
    const std::int64_t length = in.length(1);
    if (length == 0 || place.rank == 0) return {.data = true};
    const ChannelPlace longer = replaced(place, 0, 0, length - place.rank);
    return longer.with(longer.channel, kind == "aten::expand" ? longer.count : 0);
  }
  if (is_reshape(kind)) {
    const std::int64_t length = in.length(1);
    const ChannelPlace unknown{true, length, {}, 0};
    if (length == 0 || !place.channel) return unknown;
    const auto from_end = place.from_end();
    bool kept = from_end.has_value() && -*from_end <= length;
    for (std::int64_t i = -1; kept && i >= *from_end; --i) {  // what lies behind, and the channels
      kept = place.rank > 0 ? in.keeps(1, place.rank + i, length + i) : in.keeps(1, i, length + i);
    }
    if (kept) return unknown.with(from_end, place.count);
    kept = *place.channel >= 0 && *place.channel < length;
    for (std::int64_t i = 0; kept && i <= *place.channel; ++i) kept = in.keeps(1, i, i);
    return kept ? unknown.with(place.channel, place.count) : unknown;
  }
  if (kind == "aten::view_as" || kind == "aten::reshape_as") {
    const ChannelPlace other = in.place(1);
    const bool same = place.count > 0 && place.count == other.count &&
                      ((place.is_last() && other.is_last()) || (place.channel == 1 && other.channel == 1));
    return same ? other : other.unknown();
  }
  if (kind == "aten::expand_as") return both(place, in.place(1));
  return {.data = true};
}

}  // namespace salience::detail
