// Vectors of one instruction set: loading, storing, exponentials, transposition.
//
// For kernel.cpp alone, which says why everything is in an unnamed namespace.

#pragma once

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#include <cstdint>
#include <cstring>

namespace polyprefix {
namespace {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
constexpr int kKeysAtOnce = 8, kColumnsAtOnce = 4;
#elif defined(__AVX2__)
constexpr int kLanes = 8;
constexpr int kKeysAtOnce = 6, kColumnsAtOnce = 2;
#else  // 128 bits: SSE2 and NEON
constexpr int kLanes = 4;
constexpr int kKeysAtOnce = 4, kColumnsAtOnce = 2;
#endif
constexpr float kLowest = -3.40282347e38f;

using Floats = float __attribute__((vector_size(kLanes * 4)));
using Ints = int32_t __attribute__((vector_size(kLanes * 4)));
using Words = uint32_t __attribute__((vector_size(kLanes * 4)));
using Halves = uint16_t __attribute__((vector_size(kLanes * 2)));

// A number that selects a template, as std::integral_constant.
template <int number>
struct Constant {
  constexpr operator int() const { return number; }
};

struct BFloat16 {
  uint16_t bits;
};

template <class To, class From>
inline To bits_of(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  memcpy(&to, &from, sizeof to);
  return to;
}

inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

inline int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

inline Floats all(float value) { return value - Floats{}; }  // x + 0 is not x if it is -0

inline Floats load(const float* from) {
  Floats value;
  memcpy(&value, from, sizeof value);
  return value;
}

// GCC converts a vector of 512 bits in two halves, so this is an intrinsic where there is one.
inline Words widen(const uint16_t* from) {
#if defined(__AVX512F__)
  return (Words)_mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
#else
  Halves value;
  memcpy(&value, from, sizeof value);
  return __builtin_convertvector(value, Words);
#endif
}

inline Floats load(const BFloat16* from) { return bits_of<Floats>(widen(&from->bits) << 16); }

inline float load_one(const float* from) { return *from; }

inline float load_one(const BFloat16* from) { return bits_of<float>(uint32_t{from->bits} << 16); }

inline void store(float* to, Floats value) { memcpy(to, &value, sizeof value); }

inline void store(BFloat16* to, Floats value) {
#if defined(__AVX512BF16__)
  const __m256bh rounded = _mm512_cvtneps_pbh((__m512)value);  // takes denormal numbers as 0
  memcpy(to, &rounded, sizeof rounded);
#else
  const Words bits = bits_of<Words>(value);
  const Words nearest_even = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  const Words rounded = value != value ? Words{} + 0x7fc0 : nearest_even;  // NaN stays NaN
#if defined(__AVX512F__)
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtepi32_epi16((__m512i)rounded));
#else
  const Halves halves = __builtin_convertvector(rounded, Halves);
  memcpy(to, &halves, sizeof halves);
#endif
#endif
}

inline void store_one(float* to, float value) { *to = value; }

inline void store_one(BFloat16* to, float value) {
  const uint32_t bits = bits_of<uint32_t>(value);
  to->bits = value != value ? 0x7fc0 : (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
}

// e to the power of x <= 0, to 1 ulp; 0 below 2^-126, where float32 loses digits. NaN stays NaN.
//
// x = n ln 2 + r with |r| <= ln 2 / 2. The polynomial of e^r is that of Cephes, `expf`.
inline Floats exp_of_negative(Floats x) {
  constexpr float kLeast = -87.33654f;       // ln 2^-126
  constexpr float kToInteger = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  const Floats clamped = x < kLeast ? all(kLeast) : x;
  const Floats shifted = clamped * 1.44269504f + kToInteger;
  const Floats n = shifted - kToInteger;
  const Floats r = clamped - n * 0.693359375f - n * -2.12194440e-4f;
  Floats p = all(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  const Ints exponent = bits_of<Ints>(shifted) - bits_of<Ints>(all(kToInteger));
  const Floats power = bits_of<Floats>((exponent + 127) << 23);  // 2^n
  return x < kLeast ? Floats{} : p * power;
}


template <int kDistance, bool kUpper>
constexpr int32_t source_of(int32_t lane) {
  const bool swaps = (lane & kDistance) != 0;
  if (kUpper) return swaps ? kLanes + lane : lane + kDistance;
  return swaps ? kLanes + lane - kDistance : lane;
}

template <int kDistance, bool kUpper, int32_t... lanes>
inline Floats mix(Floats a, Floats b) {
#if defined(__clang__)
  return __builtin_shufflevector(a, b, source_of<kDistance, kUpper>(lanes)...);
#else
  return __builtin_shuffle(a, b, Ints{source_of<kDistance, kUpper>(lanes)...});
#endif
}

template <int kDistance, bool kUpper>
inline Floats mix_all(Floats a, Floats b) {
#if defined(__AVX512F__)
  return mix<kDistance, kUpper, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15>(a, b);
#elif defined(__AVX2__)
  return mix<kDistance, kUpper, 0, 1, 2, 3, 4, 5, 6, 7>(a, b);
#else
  return mix<kDistance, kUpper, 0, 1, 2, 3>(a, b);
#endif
}

// Transpose a square by swapping its off-diagonal quarters, and those of its quarters.
template <int kDistance>
inline void transpose(Floats (&square)[kLanes]) {
#pragma GCC unroll 16
  for (int row = 0; row < kLanes; ++row) {
    if (row & kDistance) continue;
    const Floats upper = square[row], lower = square[row + kDistance];
    square[row] = mix_all<kDistance, false>(upper, lower);
    square[row + kDistance] = mix_all<kDistance, true>(upper, lower);
  }
  if constexpr (kDistance > 1) transpose<kDistance / 2>(square);
}

}  // namespace
}  // namespace polyprefix
