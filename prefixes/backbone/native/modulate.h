// Changing tokens by the vectors of their texts. All arithmetic is in float32.
//
// For kernel.cpp alone, which says why everything is in an unnamed namespace.

#pragma once

#include "lanes.h"
#include "modulation.h"

namespace polyprefix {
namespace {

constexpr int64_t kTokensAtOnce = 16;  // so that the vectors stay in the fastest cache
constexpr int kRanksAtOnce = 8;

// The numbers of 1 + rank vectors that a slot of each has: scales and downs, or shifts and ups.
template <class Number>
struct Part {
  const Number* vectors[1 + kMaxRank];

  Part(const Modulation& call, const int64_t* slots, int64_t rank, int64_t parts, int64_t part) {
    for (int64_t k = 0; k <= rank; ++k)
      vectors[k] = static_cast<const Number*>(call.pool) +
                   slots[k * parts + part] * call.pool_stride;
  }
};

// Add the products of a token with some downs to `sums`.
template <int kCount, class Token, class Number>
inline void project_some(const Token* token, const Number* const* downs, int64_t width,
                         float* sums) {
  Floats products[kCount] = {};
  int64_t i = 0;
  for (; i + kLanes <= width; i += kLanes) {
    const Floats y = load(token + i);
#pragma GCC unroll 8
    for (int k = 0; k < kCount; ++k) products[k] += y * load(downs[k] + i);
  }
  for (int k = 0; k < kCount; ++k) {
    for (int lane = 0; lane < kLanes; ++lane) sums[k] += products[k][lane];
    for (int64_t rest = i; rest < width; ++rest)
      sums[k] += load_one(token + rest) * load_one(downs[k] + rest);
  }
}

template <class Token, class Number>
inline void project(const Token* token, const Number* const* downs, int64_t rank, int64_t width,
                    float* sums) {
  int64_t k = 0;
  for (; k + kRanksAtOnce <= rank; k += kRanksAtOnce)
    project_some<kRanksAtOnce>(token, downs + k, width, sums + k);
  for (; k < rank; ++k) project_some<1>(token, downs + k, width, sums + k);
}

// Change the part of a token that a slot covers. `factors` are those of the ups.
template <class Token, class Number>
inline void modulate_part(Token* token, const Number* scales, const Number* const* shifts_and_ups,
                          const float* factors, int64_t rank, int64_t width) {
  const Number *const shifts = shifts_and_ups[0], *const *const ups = shifts_and_ups + 1;
  int64_t i = 0;
  for (; i + kLanes <= width; i += kLanes) {
    const Floats y = load(token + i);
    Floats changed = y + y * load(scales + i) + load(shifts + i);
    for (int64_t k = 0; k < rank; ++k) changed += factors[k] * load(ups[k] + i);
    store(token + i, changed);
  }
  for (; i < width; ++i) {
    const float y = load_one(token + i);
    float changed = y + y * load_one(scales + i) + load_one(shifts + i);
    for (int64_t k = 0; k < rank; ++k) changed += factors[k] * load_one(ups[k] + i);
    store_one(token + i, changed);
  }
}

// Change the tokens of a text from `first` to `last`, at most kTokensAtOnce, counted in the batch.
template <class Token, class Number>
void modulate_some(const Modulation& call, const int64_t* slots, int64_t rank, int64_t first,
                   int64_t last) {
  const int64_t parts = call.width / call.slot_width, half = (1 + rank) * parts;
  Token* const tokens = static_cast<Token*>(call.tokens);
  float factors[kTokensAtOnce][kMaxRank] = {};
  for (int64_t part = 0; part < parts && rank > 0; ++part) {
    const Part<Number> own(call, slots, rank, parts, part);
    for (int64_t at = first; at < last; ++at)
      project(tokens + at * call.width + part * call.slot_width, own.vectors + 1, rank,
              call.slot_width, factors[at - first]);
  }
  for (int64_t part = 0; part < parts; ++part) {
    const Part<Number> own(call, slots, 0, parts, part);
    const Part<Number> added(call, slots + half, rank, parts, part);
    for (int64_t at = first; at < last; ++at)
      modulate_part(tokens + at * call.width + part * call.slot_width, own.vectors[0],
                    added.vectors, factors[at - first], rank, call.slot_width);
  }
}

// Change the tokens of a text from `first` to `last`, which are counted in the batch.
template <class Token, class Number>
void modulate_text(const Modulation& call, int64_t row, int64_t first, int64_t last) {
  const int64_t count = call.slot_bounds[row + 1] - call.slot_bounds[row];
  if (count == 0) return;
  const int64_t rank = count * call.slot_width / (2 * call.width) - 1;
  const int64_t* const slots = call.slots + call.slot_bounds[row];
  for (int64_t at = first; at < last; at += kTokensAtOnce)
    modulate_some<Token, Number>(call, slots, rank, at, least(at + kTokensAtOnce, last));
}

template <class Token, class Number>
void modulate_all(const Modulation& call, int64_t first, int64_t last) {
  for (int64_t row = 0; row < call.num_rows; ++row) {
    const int64_t begin = most(first, call.row_bounds[row]);
    const int64_t end = least(last, call.row_bounds[row + 1]);
    if (begin < end) modulate_text<Token, Number>(call, row, begin, end);
  }
}

void modulate(const Modulation& call, int64_t first, int64_t last) {
  if (call.token_type == Type::kFloat32) {
    modulate_all<float, float>(call, first, last);
  } else if (call.pool_type == Type::kFloat32) {
    modulate_all<BFloat16, float>(call, first, last);
  } else {
    modulate_all<BFloat16, BFloat16>(call, first, last);
  }
}

}  // namespace
}  // namespace polyprefix
