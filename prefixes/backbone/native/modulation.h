// Changes of the norms' outputs by vectors: what the operator and its kernels share.

#pragma once

#include <cstdint>

#include "attention.h"

namespace polyprefix {

constexpr int64_t kMaxRank = 64;  // MAX_RANK in prefixes/spec/parts.py

// N texts of T tokens in total, of which some have vectors. A token y becomes
// y + y * scales + shifts + sum over k < rank of (down_k . y) up_k.
//
// Text n owns the tokens row_bounds[n] to row_bounds[n + 1], and its vectors are in the slots of
// the pool that slots[slot_bounds[n]] to slots[slot_bounds[n + 1]] name: scales, down_0, down_1,
// ... in the first half of these; shifts, up_0, up_1, ... in the second. The number of slots
// determines the rank, which may be 0. A text without slots keeps its numbers.
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
