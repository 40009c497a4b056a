// Changing tokens by the vectors of their texts. All arithmetic is in float32.
//
// For kernel.cpp alone, which says why everything is in an unnamed namespace.

#pragma once

#include "lanes.h"
#include "modulation.h"

namespace polyprefix {
namespace {

constexpr int kRanksAtOnce = 4;
constexpr int kTokensAtOnce = kLanes / kRanksAtOnce;
constexpr int64_t kMaxTokens = 16;  // of one pass over the vectors, so that these tokens stay cached

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

// The factors of the ups: the products of some tokens with the downs.
struct Factors {
  float of[kMaxTokens + kTokensAtOnce][kMaxRank + kRanksAtOnce] = {};
};

// Add the products of tokens with downs to their factors. Tokens and downs beyond the last repeat
// the first, and their products are not used.
template <class Token, class Number>
inline void project(Token* const (&tokens)[kTokensAtOnce], const Number* const* downs,
                    int64_t rank, int64_t width, float (*factors)[kMaxRank + kRanksAtOnce]) {
  for (int64_t first = 0; first < rank; first += kRanksAtOnce) {
    const Number* some[kRanksAtOnce];
    for (int k = 0; k < kRanksAtOnce; ++k) some[k] = downs[first + k < rank ? first + k : 0];
    Floats products[kLanes] = {};
    int64_t i = 0;
    for (; i + kLanes <= width; i += kLanes) {
      Floats down[kRanksAtOnce];
#pragma GCC unroll 4
      for (int k = 0; k < kRanksAtOnce; ++k) down[k] = load(some[k] + i);
#pragma GCC unroll 4
      for (int token = 0; token < kTokensAtOnce; ++token) {
        const Floats y = load(tokens[token] + i);
#pragma GCC unroll 4
        for (int k = 0; k < kRanksAtOnce; ++k) products[token * kRanksAtOnce + k] += y * down[k];
      }
    }
    transpose<kLanes / 2>(products);
    for (int lane = 1; lane < kLanes; ++lane) products[0] += products[lane];
    for (int token = 0; token < kTokensAtOnce; ++token)
      for (int k = 0; k < kRanksAtOnce; ++k) {
        float sum = products[0][token * kRanksAtOnce + k];
        for (int64_t rest = i; rest < width; ++rest)
          sum += load_one(tokens[token] + rest) * load_one(some[k] + rest);
        factors[token][first + k] += sum;
      }
  }
}

// Change the part of `count` tokens that a slot covers.
template <class Token, class Number>
inline void modulate_part(Token* const (&tokens)[kTokensAtOnce], int64_t count,
                          const Number* scales, const Number* const* shifts_and_ups,
                          const float (*factors)[kMaxRank + kRanksAtOnce], int64_t rank,
                          int64_t width) {
  const Number *const shifts = shifts_and_ups[0], *const *const ups = shifts_and_ups + 1;
  int64_t i = 0;
  for (; i + kLanes <= width; i += kLanes) {
    const Floats scale = load(scales + i), shift = load(shifts + i);
    Floats changed[kTokensAtOnce];
#pragma GCC unroll 4
    for (int token = 0; token < kTokensAtOnce; ++token) {
      const Floats y = load(tokens[token] + i);
      changed[token] = y + y * scale + shift;
    }
    for (int64_t k = 0; k < rank; ++k) {
      const Floats up = load(ups[k] + i);
#pragma GCC unroll 4
      for (int token = 0; token < kTokensAtOnce; ++token) changed[token] += factors[token][k] * up;
    }
#pragma GCC unroll 4
    for (int token = 0; token < kTokensAtOnce; ++token)
      if (token < count) store(tokens[token] + i, changed[token]);
  }
  for (int64_t token = 0; token < count; ++token)
    for (int64_t rest = i; rest < width; ++rest) {
      const float y = load_one(tokens[token] + rest);
      float changed = y + y * load_one(scales + rest) + load_one(shifts + rest);
      for (int64_t k = 0; k < rank; ++k) changed += factors[token][k] * load_one(ups[k] + rest);
      store_one(tokens[token] + rest, changed);
    }
}

// Loads the vectors of the next text into the cache, some lines at a time: each text of a batch may
// have others, and a processor has few lines under way at once.
template <class Number>
class Prefetcher {
 public:
  // Prefetch the vectors of `row`, if there is such a row, in `num_calls` calls.
  Prefetcher(const Modulation& call, int64_t row, int64_t num_calls) : call_(call) {
    if (row >= call.num_rows) return;
    slot_ = call.slot_bounds[row];
    end_ = call.slot_bounds[row + 1];
    const int64_t num_lines = (end_ - slot_) * ((call.slot_width + kLine - 1) / kLine);
    lines_per_call_ = (num_lines + num_calls - 1) / num_calls;
  }

  void advance() {
    for (int64_t line = 0; line < lines_per_call_ && slot_ < end_; ++line) {
      const Number* const slot =
          static_cast<const Number*>(call_.pool) + call_.slots[slot_] * call_.pool_stride;
      __builtin_prefetch(slot + number_, 0, 2);
      number_ += kLine;
      if (number_ < call_.slot_width) continue;
      number_ = 0;
      ++slot_;
    }
  }

 private:
  static constexpr int64_t kLine = 64 / sizeof(Number);
  const Modulation& call_;
  int64_t slot_ = 0, end_ = 0, number_ = 0, lines_per_call_ = 0;
};

// Call a function with some tokens of a text, for all of them: their pointers at a part, how many
// of them there are, and the number of the first.
template <class Token, class Function>
inline void for_some_tokens(Token* tokens, int64_t num_tokens, int64_t width, Function function) {
  for (int64_t first = 0; first < num_tokens; first += kTokensAtOnce) {
    const int64_t count = least(kTokensAtOnce, num_tokens - first);
    Token* some[kTokensAtOnce];
    for (int64_t token = 0; token < kTokensAtOnce; ++token)
      some[token] = tokens + (token < count ? first + token : first) * width;
    function(some, count, first);
  }
}

// Change up to kMaxTokens tokens of a text.
template <class Token, class Number>
void modulate_some(const Modulation& call, const int64_t* slots, int64_t rank, Token* tokens,
                   int64_t num_tokens, Prefetcher<Number>& next) {
  const int64_t parts = call.width / call.slot_width, half = (1 + rank) * parts;
  Factors factors;
  for (int64_t part = 0; part < parts && rank > 0; ++part) {
    const Part<Number> own(call, slots, rank, parts, part);
    for_some_tokens(tokens + part * call.slot_width, num_tokens, call.width,
                    [&](Token* const (&some)[kTokensAtOnce], int64_t, int64_t first) {
                      next.advance();
                      project<Token, Number>(some, own.vectors + 1, rank, call.slot_width,
                                             factors.of + first);
                    });
  }
  for (int64_t part = 0; part < parts; ++part) {
    const Part<Number> own(call, slots, 0, parts, part);
    const Part<Number> added(call, slots + half, rank, parts, part);
    for_some_tokens(tokens + part * call.slot_width, num_tokens, call.width,
                    [&](Token* const (&some)[kTokensAtOnce], int64_t count, int64_t first) {
                      next.advance();
                      modulate_part<Token, Number>(some, count, own.vectors[0], added.vectors,
                                                   factors.of + first, rank, call.slot_width);
                    });
  }
}

// Change the tokens of a text from `first` to `last`, which are counted in the batch.
template <class Token, class Number>
void modulate_text(const Modulation& call, int64_t row, int64_t first, int64_t last) {
  const int64_t count = call.slot_bounds[row + 1] - call.slot_bounds[row];
  if (count == 0) return;
  const int64_t rank = count * call.slot_width / (2 * call.width) - 1;
  const int64_t* const slots = call.slots + call.slot_bounds[row];
  Token* const tokens = static_cast<Token*>(call.tokens);
  const int64_t num_calls = (rank > 0 ? 2 : 1) * (1 + (last - first) / kTokensAtOnce);
  Prefetcher<Number> next(call, row + 1, num_calls);
  for (int64_t at = first; at < last; at += kMaxTokens)
    modulate_some<Token, Number>(call, slots, rank, tokens + at * call.width,
                                 least(kMaxTokens, last - at), next);
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
