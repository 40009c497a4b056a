// Prefix attention over a packed batch: what the operator and its kernels share.
//
// The kernels know nothing of PyTorch. Each is the same source, compiled for one instruction set.

#pragma once

#include <cstddef>
#include <cstdint>

namespace polyprefix {

enum class Type { kFloat32, kBFloat16 };

// A tensor [n, H, D] whose last dimension is contiguous. Strides count elements.
struct Heads {
  const void* data;
  int64_t row_stride;
  int64_t head_stride;
};

// N texts of T tokens in total, each with P prefix slots of its own.
//
// Text n owns the tokens row_bounds[n] to row_bounds[n + 1], and its prefix is in the slots of the
// pool that slots[slot_bounds[n]] to slots[slot_bounds[n + 1]] name. Each of its queries attends to
// all of its prefix, and to its tokens whose distance is smaller than the window.
struct Call {
  Heads query;          // [T, num_heads, D]
  Heads key;            // [T, num_heads / queries_per_key, D]
  Heads value;          // as key
  Heads prefix_keys;    // [C, num_heads / queries_per_key, D]
  Heads prefix_values;  // as prefix_keys
  void* output;         // [T, num_heads, D], contiguous
  Type token_type;      // of query, key, value and output
  Type prefix_type;
  const int64_t* row_bounds;   // [N + 1]
  const int64_t* slot_bounds;  // [N + 1]
  const int64_t* slots;
  int64_t num_rows;
  int64_t num_heads;
  int64_t queries_per_key;
  int64_t head_size;
  int64_t window;
  float scaling;
};

// The unit of work that a thread takes: some queries of a text, in some of its heads.
struct Share {
  int64_t row;
  int64_t first_query, last_query;  // of the text's tokens; the last is not included
  int64_t first_head, last_head;
};

// The gradients of a call: those that come from the output, and those of its inputs.
struct Gradients {
  Heads output;           // [T, num_heads, D]
  Heads attended;         // the output itself, likewise
  void* query;            // [T, num_heads, D], contiguous, as all that follow
  void* key;              // [T, key heads, D]
  void* value;            // as key
  float* prefix_keys;     // [slots, key heads, D], for each place in `slots`
  float* prefix_values;   // as prefix_keys
};

// Queries of a share. A multiple of the lanes of every instruction set.
constexpr int64_t kMaxQueries = 64;

// Alignment in bytes of scratch memory: that of the widest vectors.
constexpr size_t kAlignment = 64;

}  // namespace polyprefix
