// The operators `polyprefix::prefix_attention` and its backward pass: checks, division of the work,
// choice of the kernel.
//
// Uses PyTorch's stable interface, whose headers compile quickly. Threads are PyTorch's own, so
// that `torch.set_num_threads` holds, and a call from Python releases the interpreter lock.

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>
#include <torch/headeronly/util/Exception.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "attention.h"
#include "checks.h"
#include "dispatch.h"

namespace polyprefix {

namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// Multiplications that justify one more thread, and those that a thread takes at a time. A thread
// does some 10,000 in a microsecond.
constexpr int64_t kWorthAThread = 100'000;
constexpr int64_t kLeastShare = 50'000, kGreatestShare = 500'000;

// ---------------------------------------------------------------------------------------------
// Checks
// ---------------------------------------------------------------------------------------------

// View a tensor [n, H, D], or one part of the pool [2, C, H, D].
Heads heads_of(const Tensor& tensor, const char* name, int64_t part = -1) {
  const int64_t first = part < 0 ? 0 : 1;
  STD_TORCH_CHECK(tensor.dim() == first + 3, "polyprefix: ", name, " must have ", first + 3,
                  " dimensions, has ", tensor.dim());
  STD_TORCH_CHECK(tensor.size(first + 2) == 1 || tensor.stride(first + 2) == 1,
                  "polyprefix: the last dimension of ", name, " must be contiguous");
  const int64_t item = type_of(tensor, name) == Type::kFloat32 ? 4 : 2;
  const int64_t offset = part <= 0 ? 0 : part * tensor.stride(0) * item;
  return {static_cast<const char*>(tensor.const_data_ptr()) + offset, tensor.stride(first),
          tensor.stride(first + 1)};
}

void check_same(const Tensor& tensor, const Tensor& other, const char* name) {
  STD_TORCH_CHECK(tensor.dim() == 3 && tensor.size(0) == other.size(0) &&
                      tensor.size(2) == other.size(2) &&
                      tensor.scalar_type() == other.scalar_type(),
                  "polyprefix: ", name, " must fit query in tokens, head size and dtype");
}

// ---------------------------------------------------------------------------------------------
// Division of the work
// ---------------------------------------------------------------------------------------------

// Divide a text's queries into parts of nearly equal size. This depends on the text alone, so that
// its result is the same in any batch and with any number of threads.
int64_t queries_of_part(int64_t num_tokens) {
  const int64_t num_parts = (num_tokens + kMaxQueries - 1) / kMaxQueries;
  const int64_t even = (num_tokens + num_parts - 1) / num_parts;
  return std::min((even + 15) / 16 * 16, kMaxQueries);
}

// Count the multiplications for some queries of a text in one head.
int64_t cost_of_head(const Call& call, int64_t row, int64_t num_queries) {
  const int64_t num_tokens = call.row_bounds[row + 1] - call.row_bounds[row];
  const int64_t num_slots = call.slot_bounds[row + 1] - call.slot_bounds[row];
  const int64_t reached = std::min(num_tokens, num_queries + 2 * std::min(call.window, num_tokens));
  return 2 * num_queries * (num_slots + reached) * call.head_size;
}

int64_t total_cost(const Call& call) {
  int64_t cost = 0;
  for (int64_t row = 0; row < call.num_rows; ++row)
    cost += call.num_heads *
            cost_of_head(call, row, call.row_bounds[row + 1] - call.row_bounds[row]);
  return cost;
}

std::vector<Share> divide(const Call& call, int64_t total) {
  const int64_t num_threads = torch::stable::get_num_threads();
  const int64_t target = std::clamp(total / (4 * num_threads), kLeastShare, kGreatestShare);
  std::vector<Share> shares;
  for (int64_t row = 0; row < call.num_rows; ++row) {
    const int64_t num_tokens = call.row_bounds[row + 1] - call.row_bounds[row];
    if (num_tokens == 0) continue;
    const int64_t step = queries_of_part(num_tokens);
    const int64_t cost = cost_of_head(call, row, std::min(step, num_tokens));
    const int64_t heads = std::clamp<int64_t>(target / std::max<int64_t>(cost, 1), 1,
                                              call.num_heads);
    for (int64_t query = 0; query < num_tokens; query += step)
      for (int64_t head = 0; head < call.num_heads; head += heads)
        shares.push_back({row, query, std::min(query + step, num_tokens), head,
                          std::min(head + heads, call.num_heads)});
  }
  return shares;
}

// ---------------------------------------------------------------------------------------------
// Running
// ---------------------------------------------------------------------------------------------

// The calling thread's memory for intermediate results, kept because threads call many times.
float* scratch_of_thread(size_t num_floats) {
  struct Free {
    void operator()(float* memory) const { std::free(memory); }
  };
  thread_local std::unique_ptr<float, Free> memory;
  thread_local size_t size = 0;
  if (size < num_floats) {
    const size_t bytes = (num_floats * sizeof(float) + kAlignment - 1) / kAlignment * kAlignment;
    memory.reset(static_cast<float*>(std::aligned_alloc(kAlignment, bytes)));
    size = memory ? num_floats : 0;
    STD_TORCH_CHECK(memory, "polyprefix: no memory");
  }
  return memory.get();
}

// Run num_shares shares of work. Threads take the next share when they are done with one, because
// shares differ in size, and other programs may use the same cores.
template <class Function>
void run(int64_t num_shares, int64_t cost, size_t scratch_size, const Function& function) {
  const int64_t num_threads = torch::stable::get_num_threads();
  const int64_t useful = std::min({num_threads, num_shares, 1 + cost / kWorthAThread});
  std::atomic<int64_t> next{0};
  const auto work = [&](int64_t, int64_t) {
    float* const scratch = scratch_of_thread(scratch_size);
    for (int64_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < num_shares;)
      function(i, scratch);
  };
  if (useful > 1) {
    torch::stable::parallel_for(0, useful, 1, work);
  } else {
    work(0, 1);
  }
}

// Check the inputs of a call and describe it; the output is missing.
Call call_of(const Tensor& query, const Tensor& key, const Tensor& value, const Tensor& pool,
             const Tensor& row_bounds, const Tensor& slot_bounds, const Tensor& slots,
             double scaling, std::optional<int64_t> window) {
  Call call{};
  call.query = heads_of(query, "query");
  call.key = heads_of(key, "key");
  call.value = heads_of(value, "value");
  call.prefix_keys = heads_of(pool, "pool", 0);
  call.prefix_values = heads_of(pool, "pool", 1);
  check_same(key, query, "key");
  check_same(value, query, "value");
  const int64_t key_heads = key.size(1);
  STD_TORCH_CHECK(key_heads > 0 && value.size(1) == key_heads && pool.size(0) == 2 &&
                      pool.size(2) == key_heads && query.size(1) % key_heads == 0 &&
                      pool.size(3) == query.size(2),
                  "polyprefix: key, value and pool must have the same heads, a divisor of "
                  "those of query");
  call.token_type = type_of(query, "query");
  call.prefix_type = type_of(pool, "pool");
  check_pool_type(call.token_type, call.prefix_type);
  call.num_rows = row_bounds.numel() - 1;
  STD_TORCH_CHECK(call.num_rows >= 0 && slot_bounds.numel() == call.num_rows + 1,
                  "polyprefix: row_bounds and slot_bounds must have N + 1 numbers each");
  call.row_bounds = integers(row_bounds, "row_bounds");
  call.slot_bounds = integers(slot_bounds, "slot_bounds");
  call.slots = integers(slots, "slots");
  check_bounds(call.row_bounds, call.num_rows, query.size(0), "row_bounds");
  check_bounds(call.slot_bounds, call.num_rows, slots.numel(), "slot_bounds");
  check_slots(call.slots, slots.numel(), pool.size(1));
  call.num_heads = query.size(1);
  call.queries_per_key = call.num_heads / key_heads;
  call.head_size = query.size(2);
  call.window = std::clamp<int64_t>(window.value_or(INT32_MAX), 1, INT32_MAX);
  call.scaling = static_cast<float>(scaling);
  return call;
}

Tensor uninitialized(const Tensor& tensor) {
  const std::vector<int64_t> shape{tensor.size(0), tensor.size(1), tensor.size(2)};
  return torch::stable::new_empty(tensor, shape);
}

// ---------------------------------------------------------------------------------------------
// Operators
// ---------------------------------------------------------------------------------------------

Tensor prefix_attention(Tensor query, Tensor key, Tensor value, Tensor pool, Tensor row_bounds,
                        Tensor slot_bounds, Tensor slots, double scaling,
                        std::optional<int64_t> window, std::string kernel_name) {
  Call call = call_of(query, key, value, pool, row_bounds, slot_bounds, slots, scaling, window);
  const Kernel& kernel = kernel_named(kernel_name);
  Tensor output = uninitialized(query);
  call.output = output.mutable_data_ptr();
  const int64_t cost = total_cost(call);
  const std::vector<Share> shares = divide(call, cost);
  run(static_cast<int64_t>(shares.size()), cost, kernel.scratch_size(call.head_size),
      [&](int64_t i, float* scratch) { kernel.attend(call, shares[i], scratch); });
  return output;
}

// Add up the gradients of the same slot in all texts, in the order of the texts: [2, C, H, D].
Tensor sum_by_slot(const Call& call, const Tensor& pool, const float* gradients) {
  const int64_t num_slots = pool.size(1), num_heads = pool.size(2), size = call.head_size;
  const std::vector<int64_t> shape{2, num_slots, num_heads, size};
  Tensor sums = torch::stable::new_zeros(pool, shape, ScalarType::Float);
  float* const to = sums.mutable_data_ptr<float>();
  const int64_t num_places = call.slot_bounds[call.num_rows];
  const auto add = [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {  // a head of keys or of values
      const int64_t part = i / num_heads, head = i % num_heads;
      for (int64_t place = 0; place < num_places; ++place) {
        const int64_t slot = call.slots[place];
        const float* const from =
            gradients + ((part * num_places + place) * num_heads + head) * size;
        float* const sum = to + ((part * num_slots + slot) * num_heads + head) * size;
        for (int64_t d = 0; d < size; ++d) sum[d] += from[d];
      }
    }
  };
  torch::stable::parallel_for(0, 2 * num_heads, 1 + kWorthAThread / (1 + num_places * size), add);
  return sums;
}

std::tuple<Tensor, Tensor, Tensor, Tensor> prefix_attention_backward(
    Tensor gradient, Tensor query, Tensor key, Tensor value, Tensor pool, Tensor output,
    Tensor row_bounds, Tensor slot_bounds, Tensor slots, double scaling,
    std::optional<int64_t> window, std::string kernel_name) {
  const Call call =
      call_of(query, key, value, pool, row_bounds, slot_bounds, slots, scaling, window);
  const Kernel& kernel = kernel_named(kernel_name);
  check_same(gradient, query, "gradient");
  check_same(output, query, "output");
  Tensor of_query = uninitialized(query), of_key = uninitialized(key), of_value = uninitialized(value);
  const int64_t key_heads = key.size(1);
  const int64_t half = slots.numel() * key_heads * call.head_size;
  std::vector<float> of_prefixes(2 * half);
  const Gradients gradients{heads_of(gradient, "gradient"), heads_of(output, "output"),
                            of_query.mutable_data_ptr(),    of_key.mutable_data_ptr(),
                            of_value.mutable_data_ptr(),    of_prefixes.data(),
                            of_prefixes.data() + half};
  int64_t most_keys = 0;
  for (int64_t row = 0; row < call.num_rows; ++row)
    most_keys = std::max(most_keys, call.row_bounds[row + 1] - call.row_bounds[row] +
                                        call.slot_bounds[row + 1] - call.slot_bounds[row]);
  run(call.num_rows * key_heads, 4 * total_cost(call),
      kernel.backward_scratch_size(call.head_size, most_keys), [&](int64_t i, float* scratch) {
        kernel.differentiate(call, gradients, i / key_heads, i % key_heads, scratch);
      });
  return {of_query, of_key, of_value, sum_by_slot(call, pool, of_prefixes.data())};
}

}  // namespace
}  // namespace polyprefix

STABLE_TORCH_LIBRARY(polyprefix, library) {
  library.def(
      "prefix_attention(Tensor query, Tensor key, Tensor value, Tensor pool, Tensor row_bounds, "
      "Tensor slot_bounds, Tensor slots, float scaling, int? window=None, str kernel='') -> "
      "Tensor");
  library.def(
      "prefix_attention_backward(Tensor gradient, Tensor query, Tensor key, Tensor value, "
      "Tensor pool, Tensor output, Tensor row_bounds, Tensor slot_bounds, Tensor slots, "
      "float scaling, int? window=None, str kernel='') -> (Tensor, Tensor, Tensor, Tensor)");
}

STABLE_TORCH_LIBRARY_IMPL(polyprefix, CPU, library) {
  library.impl("prefix_attention", TORCH_BOX(&polyprefix::prefix_attention));
  library.impl("prefix_attention_backward", TORCH_BOX(&polyprefix::prefix_attention_backward));
}
