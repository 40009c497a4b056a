// Rounding and scaling for int8 layers: what the operators and their kernels share.

#pragma once

#include <cstdint>

namespace polyprefix {

// Rounds T rows of numbers to codes from 0 to 127: number = scale * code + low.
struct Rounding {
  const float* numbers;  // [T, width], contiguous
  int64_t width;
  uint8_t* codes;  // [T, width]
  float* scales;   // [T]
  float* lows;     // [T]
};

// Turns the sums of products of T rounded rows with rounded weights into outputs, in place:
// output = weight_scale * scale * sum + low * shift + bias.
struct Scaling {
  void* sums;         // [T, width], contiguous; replaced by float32
  bool has_integers;  // int32, else float32
  int64_t width;
  const float* scales;         // [T]
  const float* lows;           // [T]
  const float* weight_scales;  // [width], as all that follow
  const float* shifts;
  const float* bias;
};

}  // namespace polyprefix
