// The steps of attention on a few queries and keys: copying, scores, softmax, weighted sums.
//
// For kernel.cpp alone, which says why everything is in an unnamed namespace.

#pragma once

#include "attention.h"
#include "lanes.h"

namespace polyprefix {
namespace {

constexpr int kPanelsAtOnce = 2;   // times kKeysAtOnce: the vectors of scores in registers
constexpr int kTargetsAtOnce = 4;  // times kColumnsAtOnce: the vectors of sums in registers
constexpr int kMaxPanels = kMaxQueries / kLanes;

// The keys of a chunk. Scores are computed for several keys at once, and may be computed for keys
// behind the last one, which nobody reads.
constexpr int kMaxKeys = 128;
constexpr int kPaddedKeys = (kMaxKeys + kKeysAtOnce - 1) / kKeysAtOnce * kKeysAtOnce;
constexpr int kScoresOfPanel = kPaddedKeys * kLanes;

template <class Number>
inline const Number* at(const Heads& heads, int64_t row, int64_t head) {
  return static_cast<const Number*>(heads.data) + row * heads.row_stride + head * heads.head_stride;
}

// Fetch the numbers of the next head, which are needed soon, into the cache. The processor does not
// guess them, because it sees short reads that are far apart.
template <class Number>
inline void fetch_next(const Number* numbers, int64_t size, int64_t head_stride) {
  constexpr int64_t kLine = 64 / sizeof(Number);
  for (int64_t d = 0; d < size; d += kLine) __builtin_prefetch(numbers + head_stride + d);
}

// ---------------------------------------------------------------------------------------------
// Queries
// ---------------------------------------------------------------------------------------------

// Scale and transpose `count` queries to a panel [D, lane]. Lanes in excess repeat the last query.
template <class Token>
void fill_panel(const Heads& queries, int64_t first_token, int64_t head, int64_t count,
                int64_t size, float scaling, float* panel) {
  const Token* of_lane[kLanes];
  for (int lane = 0; lane < kLanes; ++lane) {
    of_lane[lane] = at<Token>(queries, first_token + least(lane, count - 1), head);
    fetch_next(of_lane[lane], size, queries.head_stride);
  }
  int64_t d = 0;
  for (; d + kLanes <= size; d += kLanes) {
    Floats square[kLanes];
#pragma GCC unroll 16
    for (int lane = 0; lane < kLanes; ++lane) square[lane] = load(of_lane[lane] + d) * scaling;
    transpose<kLanes / 2>(square);
#pragma GCC unroll 16
    for (int lane = 0; lane < kLanes; ++lane) store(panel + (d + lane) * kLanes, square[lane]);
  }
  for (; d < size; ++d)
    for (int lane = 0; lane < kLanes; ++lane)
      panel[d * kLanes + lane] = load_one(of_lane[lane] + d) * scaling;
}

// ---------------------------------------------------------------------------------------------
// Keys and values
// ---------------------------------------------------------------------------------------------

struct Columns {
  int64_t size;    // D
  int64_t padded;  // D, rounded up to whole vectors
};

inline Columns columns_of(int64_t head_size) {
  return {head_size, (head_size + kLanes - 1) / kLanes * kLanes};
}

// Some keys of a text in one head and their values [count, padded], copied as float32. In the
// tensors, rows of one head are as far apart as all heads are wide, so that most of them would
// compete for a few places in the cache.
struct Keys {
  float* key;
  float* value;
  int count;
  int num_slots;        // the first are those of the prefix
  int64_t first_token;  // the text's token that the first of the others is
};

// Copy a key or value, with zeros to the end of the last vector.
template <class Number>
inline void copy(const Number* from, Columns columns, float* to) {
  int64_t d = 0;
  for (; d + kLanes <= columns.size; d += kLanes) store(to + d, load(from + d));
  for (; d < columns.size; ++d) to[d] = load_one(from + d);
  for (; d < columns.padded; ++d) to[d] = 0;
}


// The keys and values of a text in one head, in chunks.
template <class Token, class Prefix>
class KeyReader {
 public:
  // Reads the slots of the prefix, then the tokens from `first_token` to `last_token`.
  KeyReader(const Call& call, int64_t row, int64_t head, int64_t first_token, int64_t last_token,
            Columns columns)
      : call_(call),
        row_start_(call.row_bounds[row]),
        slots_(call.slots + call.slot_bounds[row]),
        num_slots_(call.slot_bounds[row + 1] - call.slot_bounds[row]),
        head_(head),
        token_(first_token),
        last_token_(last_token),
        columns_(columns) {}

  // Read the next keys; return whether there were any.
  bool read(Keys& keys) {
    int count = 0;
    for (; slot_ < num_slots_ && count < kMaxKeys; ++slot_)
      put<Prefix>(keys, count++, call_.prefix_keys, call_.prefix_values, slots_[slot_]);
    keys.num_slots = count;
    keys.first_token = token_;
    for (; token_ < last_token_ && count < kMaxKeys; ++token_)
      put<Token>(keys, count++, call_.key, call_.value, row_start_ + token_);
    keys.count = count;
    return count > 0;
  }

 private:
  template <class Number>
  void put(Keys& keys, int index, const Heads& key, const Heads& value, int64_t row) const {
    copy(at<Number>(key, row, head_), columns_, keys.key + index * columns_.padded);
    copy(at<Number>(value, row, head_), columns_, keys.value + index * columns_.padded);
    fetch_next(at<Number>(key, row, head_), columns_.size, key.head_stride);
    fetch_next(at<Number>(value, row, head_), columns_.size, value.head_stride);
  }

  const Call& call_;
  const int64_t row_start_;
  const int64_t* const slots_;
  const int64_t num_slots_;
  const int64_t head_;
  int64_t slot_ = 0;
  int64_t token_;
  const int64_t last_token_;
  const Columns columns_;
};

// ---------------------------------------------------------------------------------------------
// Scores, softmax, output
// ---------------------------------------------------------------------------------------------

// The running softmax of the queries in a panel: the greatest score so far, and the sum of the
// exponentials relative to it.
struct Softmax {
  Floats greatest = all(kLowest);
  Floats sum = {};
};

// Compute the scores [panel, key, lane] of some panels [panel, D, lane] of queries.
template <int kPanels>
inline void score(const float* keys, int count, const float* panels, Columns columns,
                  float* scores) {
  const int64_t size = columns.size;
  for (int first = 0; first < count; first += kKeysAtOnce) {
    const float* const key = keys + first * columns.padded;
    Floats total[kPanels][kKeysAtOnce] = {};
    for (int64_t d = 0; d < size; ++d) {
      Floats query[kPanels];
#pragma GCC unroll 2
      for (int panel = 0; panel < kPanels; ++panel)
        query[panel] = load(panels + (panel * size + d) * kLanes);
#pragma GCC unroll 8
      for (int k = 0; k < kKeysAtOnce; ++k) {
        const float number = key[k * columns.padded + d];
#pragma GCC unroll 2
        for (int panel = 0; panel < kPanels; ++panel) total[panel][k] += query[panel] * number;
      }
    }
#pragma GCC unroll 2
    for (int panel = 0; panel < kPanels; ++panel)
#pragma GCC unroll 8
      for (int k = 0; k < kKeysAtOnce; ++k)
        store(scores + panel * kScoresOfPanel + (first + k) * kLanes, total[panel][k]);
  }
}

// Give tokens at a distance of the window or more from a query the score -infinity.
void mask(const Keys& keys, int64_t first_query, int64_t window, float* scores) {
  Ints lane;
  for (int i = 0; i < kLanes; ++i) lane[i] = i;
  for (int k = keys.num_slots; k < keys.count; ++k) {
    const auto ahead = static_cast<int32_t>(keys.first_token + (k - keys.num_slots) - first_query);
    const Ints distance = ahead - lane;
    const Ints reach = Ints{} + static_cast<int32_t>(window);
    const Ints is_near = (distance < reach) & (-distance < reach);
    const Floats scored = load(scores + k * kLanes);
    store(scores + k * kLanes, is_near ? scored : all(-__builtin_inff()));
  }
}

// Turn the scores of a panel into weights relative to the greatest score so far. Return the factor
// by which it reduces earlier weights.
inline Floats weigh(int count, float* scores, Softmax& softmax) {
  Floats greatest = softmax.greatest;
  for (int k = 0; k < count; ++k) {
    const Floats value = load(scores + k * kLanes);
    greatest = value > greatest ? value : greatest;
  }
  Floats sum = {};
  for (int k = 0; k < count; ++k) {
    const Floats weight = exp_of_negative(load(scores + k * kLanes) - greatest);
    store(scores + k * kLanes, weight);
    sum += weight;
  }
  const Floats decay = exp_of_negative(softmax.greatest - greatest);
  softmax.greatest = greatest;
  softmax.sum = softmax.sum * decay + sum;
  return decay;
}

// How a sum of weighted rows begins: at 0, at the earlier sum, or at that times its decay.
enum class Start { kZero, kKept, kDecayed };

// A matrix of weights in scores [key, lane], read by target and source of a sum.
struct OfQueries {  // the targets are queries, the sources are keys
  static constexpr int kTargetStep = 1, kSourceStep = kLanes;
};
struct OfKeys {  // the targets are keys, the sources are queries
  static constexpr int kTargetStep = kLanes, kSourceStep = 1;
};

// Add weighted sources to some vectors of some targets. `targets` and `sources` [row, padded] point
// at these columns of the first row, `weights` and `decay` at the numbers of the first target.
template <class Of, int kColumns>
inline void add_columns(const float* sources, int64_t count, int64_t padded, const float* weights,
                        Start start, const float* decay, float* targets) {
  Floats total[kTargetsAtOnce][kColumns] = {};
  if (start != Start::kZero) {
#pragma GCC unroll 4
    for (int target = 0; target < kTargetsAtOnce; ++target) {
      const float factor = start == Start::kDecayed ? decay[target] : 1.0f;
#pragma GCC unroll 4
      for (int c = 0; c < kColumns; ++c)
        total[target][c] = load(targets + target * padded + c * kLanes) * factor;
    }
  }
  for (int64_t row = 0; row < count; ++row) {
    Floats source[kColumns];
#pragma GCC unroll 4
    for (int c = 0; c < kColumns; ++c) source[c] = load(sources + row * padded + c * kLanes);
#pragma GCC unroll 4
    for (int target = 0; target < kTargetsAtOnce; ++target) {
      const float weight = weights[row * Of::kSourceStep + target * Of::kTargetStep];
#pragma GCC unroll 4
      for (int c = 0; c < kColumns; ++c) total[target][c] += weight * source[c];
    }
  }
#pragma GCC unroll 4
  for (int target = 0; target < kTargetsAtOnce; ++target)
#pragma GCC unroll 4
    for (int c = 0; c < kColumns; ++c)
      store(targets + target * padded + c * kLanes, total[target][c]);
}

// Add `num_sources` weighted rows to each of `num_targets` rows [padded]. Some rows behind the last
// target may get sums too, which nobody reads.
template <class Of>
void add_rows(const float* sources, int64_t num_sources, int64_t num_targets, int64_t padded,
              const float* weights, Start start, const float* decay, float* targets) {
  for (int64_t first = 0; first < num_targets; first += kTargetsAtOnce) {
    int64_t column = 0;
    const auto add = [&](auto num_columns) {
      for (; column + num_columns * kLanes <= padded; column += num_columns * kLanes)
        add_columns<Of, num_columns>(sources + column, num_sources, padded,
                                     weights + first * Of::kTargetStep, start,
                                     start == Start::kDecayed ? decay + first : nullptr,
                                     targets + first * padded + column);
    };
    add(Constant<kColumnsAtOnce>{});
    add(Constant<2>{});
    add(Constant<1>{});
  }
}

// Multiply a row by a factor and store it as the numbers of a tensor.
template <class Number>
inline void put_row(const float* row, float factor, Columns columns, Number* to) {
  int64_t d = 0;
  for (; d + kLanes <= columns.size; d += kLanes) store(to + d, load(row + d) * factor);
  for (; d < columns.size; ++d) store_one(to + d, row[d] * factor);
}

}  // namespace
}  // namespace polyprefix
