// The functions that are compiled once for each instruction set.

#pragma once

#include <cstddef>
#include <cstdint>

#include "attention.h"
#include "int8.h"
#include "modulation.h"

namespace polyprefix {

struct Kernel {
  const char* name;
  bool (*is_supported)();                      // by this processor
  size_t (*scratch_size)(int64_t head_size);   // in floats
  void (*attend)(const Call&, const Share&, float* scratch);
  size_t (*backward_scratch_size)(int64_t head_size, int64_t num_keys);
  // Compute the gradients of a text in one head of its keys.
  void (*differentiate)(const Call&, const Gradients&, int64_t row, int64_t key_head,
                        float* scratch);
  // These run a range of rows: of a matrix, or tokens of all texts.
  void (*round_rows)(const Rounding&, int64_t first, int64_t last);
  void (*scale_rows)(const Scaling&, int64_t first, int64_t last);
  void (*modulate)(const Modulation&, int64_t first, int64_t last);
};

}  // namespace polyprefix
