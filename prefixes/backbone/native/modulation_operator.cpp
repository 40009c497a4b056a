// The operator `polyprefix::modulate_`, which changes tokens by their texts' vectors.

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/util/Exception.h>

#include <algorithm>
#include <string>

#include "checks.h"
#include "dispatch.h"

namespace polyprefix {
namespace {

using torch::stable::Tensor;

// Numbers that justify one more thread. A thread scales and shifts some 5,000 in a microsecond.
constexpr int64_t kWorthAThread = 100'000;

// Return the tokens that justify one more thread. Each pair of vectors takes about as long as the
// first one.
int64_t tokens_worth_a_thread(const Modulation& call) {
  const int64_t num_slots = call.slot_bounds[call.num_rows];
  const int64_t pairs = num_slots * call.slot_width / (2 * call.width);
  const int64_t of_a_text = std::max<int64_t>(1, pairs / std::max<int64_t>(1, call.num_rows));
  return 1 + kWorthAThread / (call.width * of_a_text);
}

// Check the inputs of a call and describe it.
Modulation modulation_of(Tensor& tokens, const Tensor& pool, const Tensor& row_bounds,
                         const Tensor& slot_bounds, const Tensor& slots) {
  Modulation call{};
  STD_TORCH_CHECK(tokens.dim() == 2 && tokens.is_contiguous(),
                  "polyprefix: tokens must be a contiguous matrix");
  STD_TORCH_CHECK(pool.dim() == 3 && pool.stride(2) == 1 && pool.stride(1) == pool.size(2),
                  "polyprefix: pool must be [C, H, D], and each of its slots contiguous");
  call.token_type = type_of(tokens, "tokens");
  call.pool_type = type_of(pool, "pool");
  check_pool_type(call.token_type, call.pool_type);
  call.tokens = tokens.mutable_data_ptr();
  call.width = tokens.size(1);
  call.pool = pool.const_data_ptr();
  call.pool_stride = pool.stride(0);
  call.slot_width = pool.size(1) * pool.size(2);
  STD_TORCH_CHECK(call.width > 0 && call.slot_width > 0,
                  "polyprefix: tokens and slots must have numbers");
  const int64_t num_rows = call.num_rows = row_bounds.numel() - 1;
  STD_TORCH_CHECK(num_rows >= 0 && slot_bounds.numel() == num_rows + 1,
                  "polyprefix: row_bounds and slot_bounds must have N + 1 numbers each");
  call.row_bounds = integers(row_bounds, "row_bounds");
  call.slot_bounds = integers(slot_bounds, "slot_bounds");
  call.slots = integers(slots, "slots");
  check_bounds(call.row_bounds, num_rows, tokens.size(0), "row_bounds");
  check_bounds(call.slot_bounds, num_rows, slots.numel(), "slot_bounds");
  check_slots(call.slots, slots.numel(), pool.size(0));
  for (int64_t row = 0; row < num_rows; ++row) {
    const int64_t count = call.slot_bounds[row + 1] - call.slot_bounds[row];
    const int64_t numbers = count * call.slot_width, pairs = numbers / (2 * call.width);
    STD_TORCH_CHECK(count == 0 || (call.width % call.slot_width == 0 && pairs <= 1 + kMaxRank &&
                                   numbers == pairs * 2 * call.width),
                    "polyprefix: the slots of a text must hold up to ", 1 + kMaxRank,
                    " pairs of vectors of ", call.width);
  }
  return call;
}

void modulate(Tensor tokens, Tensor pool, Tensor row_bounds, Tensor slot_bounds, Tensor slots,
              std::string kernel_name) {
  const Modulation call = modulation_of(tokens, pool, row_bounds, slot_bounds, slots);
  const Kernel& kernel = kernel_named(kernel_name);
  torch::stable::parallel_for(
      0, tokens.size(0), tokens_worth_a_thread(call),
      [&](int64_t first, int64_t last) { kernel.modulate(call, first, last); });
}

}  // namespace
}  // namespace polyprefix

STABLE_TORCH_LIBRARY_FRAGMENT(polyprefix, library) {
  library.def(
      "modulate_(Tensor(a!) tokens, Tensor pool, Tensor row_bounds, Tensor slot_bounds, "
      "Tensor slots, str kernel='') -> ()");
}

STABLE_TORCH_LIBRARY_IMPL(polyprefix, CPU, library) {
  library.impl("modulate_", TORCH_BOX(&polyprefix::modulate));
}
