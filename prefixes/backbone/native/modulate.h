// Scaling and shifting tokens by the vectors of their texts.
//
// For kernel.cpp alone, which says why everything is in an unnamed namespace.

#pragma once

#include "lanes.h"
#include "modulation.h"

namespace polyprefix {
namespace {

// Change the part of a token that a slot covers. All arithmetic is in float32.
template <class Token, class Number>
inline void modulate_part(Token* token, const Number* scales, const Number* shifts, int64_t width) {
  int64_t i = 0;
  for (; i + kLanes <= width; i += kLanes) {
    const Floats y = load(token + i);
    store(token + i, y + y * load(scales + i) + load(shifts + i));
  }
  for (; i < width; ++i) {
    const float y = load_one(token + i);
    store_one(token + i, y + y * load_one(scales + i) + load_one(shifts + i));
  }
}

// Change the tokens of a text from `first` to `last`, which are counted in the batch.
template <class Token, class Number>
void modulate_text(const Modulation& call, int64_t row, int64_t first, int64_t last) {
  const int64_t* const slots = call.slots + call.slot_bounds[row];
  const int64_t half = (call.slot_bounds[row + 1] - call.slot_bounds[row]) / 2;
  const Number* const pool = static_cast<const Number*>(call.pool);
  for (int64_t at = first; at < last; ++at) {
    Token* const token = static_cast<Token*>(call.tokens) + at * call.width;
    for (int64_t part = 0; part < half; ++part)
      modulate_part(token + part * call.slot_width, pool + slots[part] * call.pool_stride,
                    pool + slots[half + part] * call.pool_stride, call.slot_width);
  }
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
