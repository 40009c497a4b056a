// Rounding and scaling of rows, before and after the products of int8 layers.
//
// For kernel.cpp alone, which says why everything is in an unnamed namespace.

#pragma once

#include "int8.h"
#include "lanes.h"

namespace polyprefix {
namespace {

using Bytes = uint8_t __attribute__((vector_size(kLanes)));

constexpr float kHighestCode = 127.0f;
constexpr float kSmallestScale = 1e-30f;  // keeps the scale above zero if all numbers are equal

inline float smaller(float a, float b) { return a < b ? a : b; }

inline float larger(float a, float b) { return a > b ? a : b; }

// The smallest and the largest number of a row; both are NaN if any number is not finite.
struct Range {
  float low, high;
};

Range range_of(const float* row, int64_t width) {
  float low = row[0], high = row[0], poison = 0;
  int64_t i = 0;
  if (width >= kLanes) {
    Floats lows = load(row), highs = lows, poisons{};
    for (; i + kLanes <= width; i += kLanes) {
      const Floats x = load(row + i);
      lows = x < lows ? x : lows;
      highs = x > highs ? x : highs;
      poisons += x * 0.0f;  // 0, or NaN
    }
    for (int lane = 0; lane < kLanes; ++lane) {
      low = smaller(low, lows[lane]);
      high = larger(high, highs[lane]);
      poison += poisons[lane];
    }
  }
  for (; i < width; ++i) {
    low = smaller(low, row[i]);
    high = larger(high, row[i]);
    poison += row[i] * 0.0f;
  }
  return {low + poison, high + poison};
}

// Round a row to codes from 0 to 127: number = scale * code + low, to half a step. The codes are
// those of `_round` in quantized_linear.py.
void round_row(const float* row, int64_t width, uint8_t* codes, float& scale, float& low) {
  const Range range = range_of(row, width);
  low = range.low;
  scale = larger((range.high - range.low) / kHighestCode, kSmallestScale);
  if (range.low != range.low) scale = range.low;
  // Converting truncates, so start half a step lower.
  const float start = low - 0.5f * scale, inverse = 1.0f / scale;
  int64_t i = 0;
  for (; i + kLanes <= width; i += kLanes) {
    const Floats steps = (load(row + i) - start) * inverse;
    const Floats safe = steps < 128.0f ? steps : Floats{};  // converting NaN is undefined
    const Bytes some = __builtin_convertvector(__builtin_convertvector(safe, Ints), Bytes);
    memcpy(codes + i, &some, sizeof some);
  }
  for (; i < width; ++i) {
    const float steps = (row[i] - start) * inverse;
    codes[i] = static_cast<uint8_t>(steps < 128.0f ? steps : 0.0f);
  }
}

void round_rows(const Rounding& call, int64_t first, int64_t last) {
  for (int64_t row = first; row < last; ++row)
    round_row(call.numbers + row * call.width, call.width, call.codes + row * call.width,
              call.scales[row], call.lows[row]);
}

inline Floats sums_at(const float* sums) { return load(sums); }

inline Floats sums_at(const int32_t* sums) {
  Ints value;
  memcpy(&value, sums, sizeof value);
  return __builtin_convertvector(value, Floats);
}

// Replace the sums of a row's products by the outputs: a number of the row is
// scale * code + low, so that its product is scale * sum + low * shift.
template <class Sum>
void scale_row(const Scaling& call, Sum* sums, float scale, float low) {
  float* const outputs = reinterpret_cast<float*>(sums);
  int64_t i = 0;
  for (; i + kLanes <= call.width; i += kLanes) {
    const Floats product = sums_at(sums + i) * load(call.weight_scales + i) * scale;
    store(outputs + i, product + (low * load(call.shifts + i) + load(call.bias + i)));
  }
  for (; i < call.width; ++i) {
    Sum sum;
    memcpy(&sum, sums + i, sizeof sum);
    const float product = static_cast<float>(sum) * call.weight_scales[i] * scale;
    const float output = product + (low * call.shifts[i] + call.bias[i]);
    memcpy(outputs + i, &output, sizeof output);
  }
}

void scale_rows(const Scaling& call, int64_t first, int64_t last) {
  for (int64_t row = first; row < last; ++row) {
    void* const sums = static_cast<float*>(call.sums) + row * call.width;
    if (call.has_integers) {
      scale_row(call, static_cast<int32_t*>(sums), call.scales[row], call.lows[row]);
    } else {
      scale_row(call, static_cast<float*>(sums), call.scales[row], call.lows[row]);
    }
  }
}

}  // namespace
}  // namespace polyprefix
