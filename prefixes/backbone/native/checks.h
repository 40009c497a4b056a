// Checks of tensors that every text of a batch shares.
//
// For the files with operators, which use PyTorch's stable interface.

#pragma once

#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>
#include <torch/headeronly/util/Exception.h>

#include <cstdint>

#include "attention.h"

namespace polyprefix {
namespace {

inline Type type_of(const torch::stable::Tensor& tensor, const char* name) {
  using torch::headeronly::ScalarType;
  STD_TORCH_CHECK(tensor.is_cpu(), "polyprefix: ", name, " must be on the CPU");
  const ScalarType type = tensor.scalar_type();
  STD_TORCH_CHECK(type == ScalarType::Float || type == ScalarType::BFloat16, "polyprefix: ", name,
                  " must have dtype float32 or bfloat16");
  return type == ScalarType::Float ? Type::kFloat32 : Type::kBFloat16;
}

inline void check_pool_type(Type tokens, Type pool) {
  STD_TORCH_CHECK(tokens == Type::kBFloat16 || pool == Type::kFloat32,
                  "polyprefix: a pool of bfloat16 needs tokens of bfloat16");
}

inline const int64_t* integers(const torch::stable::Tensor& tensor, const char* name) {
  STD_TORCH_CHECK(tensor.is_cpu() &&
                      tensor.scalar_type() == torch::headeronly::ScalarType::Long &&
                      tensor.dim() == 1 && tensor.is_contiguous(),
                  "polyprefix: ", name, " must be contiguous int64 [n] on the CPU");
  return tensor.const_data_ptr<int64_t>();
}

inline void check_bounds(const int64_t* bounds, int64_t num_rows, int64_t stop, const char* name) {
  STD_TORCH_CHECK(bounds[0] == 0 && bounds[num_rows] == stop, "polyprefix: ", name,
                  " must go from 0 to ", stop);
  for (int64_t row = 0; row < num_rows; ++row)
    STD_TORCH_CHECK(bounds[row] <= bounds[row + 1], "polyprefix: ", name, " must not decrease");
}

inline void check_slots(const int64_t* slots, int64_t count, int64_t num_slots) {
  for (int64_t i = 0; i < count; ++i)
    STD_TORCH_CHECK(slots[i] >= 0 && slots[i] < num_slots, "polyprefix: slot ", slots[i],
                    " is not in the pool");
}

}  // namespace
}  // namespace polyprefix
