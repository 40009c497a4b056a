// Scales and shifts of the norms' outputs: what the operator and its kernels share.

#pragma once

#include <cstdint>

#include "attention.h"

namespace polyprefix {

// N texts of T tokens in total, of which some have vectors. Each number y of a token becomes
// y + y * scale + shift.
//
// Text n owns the tokens row_bounds[n] to row_bounds[n + 1], and its vectors are in the slots of
// the pool that slots[slot_bounds[n]] to slots[slot_bounds[n + 1]] name: the scales in the first
// half of these, the shifts in the second. A text without slots keeps its numbers.
struct Modulation {
  void* tokens;  // [T, width], contiguous; changed in place
  Type token_type;
  int64_t width;
  const void* pool;  // [C, slot_width], each slot contiguous
  Type pool_type;
  int64_t pool_stride;  // in elements
  int64_t slot_width;
  int64_t num_rows;
  const int64_t* row_bounds;   // [N + 1]
  const int64_t* slot_bounds;  // [N + 1]
  const int64_t* slots;
};

}  // namespace polyprefix
