// The operator `polyprefix::prefix_attention`: checks, division of the work, choice of the kernel.
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

namespace polyprefix {

#if defined(__x86_64__)
extern const Kernel avx512;
extern const Kernel avx2;
#endif
extern const Kernel baseline;

namespace {

// The fastest first. The last one runs on every processor of this kind.
const Kernel* const kKernels[] = {
#if defined(__x86_64__)
    &avx512, &avx2,
#endif
    &baseline,
};

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// Multiplications that justify one more thread, and those that a thread takes at a time. A thread
// does some 10,000 in a microsecond.
constexpr int64_t kWorthAThread = 100'000;
constexpr int64_t kLeastShare = 50'000, kGreatestShare = 500'000;

// ---------------------------------------------------------------------------------------------
// Checks
// ---------------------------------------------------------------------------------------------

Type type_of(const Tensor& tensor, const char* name) {
  STD_TORCH_CHECK(tensor.is_cpu(), "prefix_attention: ", name, " must be on the CPU");
  const ScalarType type = tensor.scalar_type();
  STD_TORCH_CHECK(type == ScalarType::Float || type == ScalarType::BFloat16, "prefix_attention: ",
                  name, " must have dtype float32 or bfloat16");
  return type == ScalarType::Float ? Type::kFloat32 : Type::kBFloat16;
}

// View a tensor [n, H, D], or one part of the pool [2, C, H, D].
Heads heads_of(const Tensor& tensor, const char* name, int64_t part = -1) {
  const int64_t first = part < 0 ? 0 : 1;
  STD_TORCH_CHECK(tensor.dim() == first + 3, "prefix_attention: ", name, " must have ", first + 3,
                  " dimensions, has ", tensor.dim());
  STD_TORCH_CHECK(tensor.size(first + 2) == 1 || tensor.stride(first + 2) == 1,
                  "prefix_attention: the last dimension of ", name, " must be contiguous");
  const int64_t item = type_of(tensor, name) == Type::kFloat32 ? 4 : 2;
  const int64_t offset = part <= 0 ? 0 : part * tensor.stride(0) * item;
  return {static_cast<const char*>(tensor.const_data_ptr()) + offset, tensor.stride(first),
          tensor.stride(first + 1)};
}

const int64_t* integers(const Tensor& tensor, const char* name) {
  STD_TORCH_CHECK(tensor.is_cpu() && tensor.scalar_type() == ScalarType::Long &&
                      tensor.dim() == 1 && tensor.is_contiguous(),
                  "prefix_attention: ", name, " must be contiguous int64 [n] on the CPU");
  return tensor.const_data_ptr<int64_t>();
}

void check_bounds(const int64_t* bounds, int64_t num_rows, int64_t stop, const char* name) {
  STD_TORCH_CHECK(bounds[0] == 0 && bounds[num_rows] == stop, "prefix_attention: ", name,
                  " must go from 0 to ", stop);
  for (int64_t row = 0; row < num_rows; ++row)
    STD_TORCH_CHECK(bounds[row] <= bounds[row + 1], "prefix_attention: ", name,
                    " must not decrease");
}

void check_same(const Tensor& tensor, const Tensor& other, const char* name) {
  STD_TORCH_CHECK(tensor.dim() == 3 && tensor.size(0) == other.size(0) &&
                      tensor.size(2) == other.size(2) &&
                      tensor.scalar_type() == other.scalar_type(),
                  "prefix_attention: ", name, " must fit query in tokens, head size and dtype");
}

// ---------------------------------------------------------------------------------------------
// Division of the work
// ---------------------------------------------------------------------------------------------

struct Work {
  std::vector<Share> shares;
  int64_t cost = 0;  // multiplications
};

// Divide a text's queries into parts of nearly equal size. This depends on the text alone, so that
// its result is the same in any batch and with any number of threads.
int64_t queries_of_part(int64_t num_tokens) {
  const int64_t num_parts = (num_tokens + kMaxQueries - 1) / kMaxQueries;
  const int64_t even = (num_tokens + num_parts - 1) / num_parts;
  return std::min((even + 15) / 16 * 16, kMaxQueries);
}

int64_t cost_of_head(const Call& call, int64_t row, int64_t num_queries) {
  const int64_t num_tokens = call.row_bounds[row + 1] - call.row_bounds[row];
  const int64_t num_slots = call.slot_bounds[row + 1] - call.slot_bounds[row];
  const int64_t reached = std::min(num_tokens, num_queries + 2 * std::min(call.window, num_tokens));
  return 2 * num_queries * (num_slots + reached) * call.head_size;
}

int64_t total_cost(const Call& call, int64_t num_rows) {
  int64_t cost = 0;
  for (int64_t row = 0; row < num_rows; ++row)
    cost += call.num_heads *
            cost_of_head(call, row, call.row_bounds[row + 1] - call.row_bounds[row]);
  return cost;
}

std::vector<Share> divide(const Call& call, int64_t num_rows, int64_t target) {
  std::vector<Share> shares;
  for (int64_t row = 0; row < num_rows; ++row) {
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

const Kernel& kernel_named(const std::string& name) {
  for (const Kernel* kernel : kKernels)
    if ((name.empty() || name == kernel->name) && kernel->is_supported()) return *kernel;
  STD_TORCH_CHECK(false, "prefix_attention: this processor cannot run the kernel ", name);
}

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
    STD_TORCH_CHECK(memory, "prefix_attention: no memory");
  }
  return memory.get();
}

void run(const Kernel& kernel, const Call& call, int64_t num_rows) {
  const int64_t num_threads = torch::stable::get_num_threads();
  const int64_t cost = total_cost(call, num_rows);
  const int64_t target = std::clamp(cost / (4 * num_threads), kLeastShare, kGreatestShare);
  const std::vector<Share> shares = divide(call, num_rows, target);
  const auto num_shares = static_cast<int64_t>(shares.size());
  const int64_t useful = std::min({num_threads, num_shares, 1 + cost / kWorthAThread});

  // Threads take the next share when they are done with one, because shares differ in size, and
  // other programs may use the same cores.
  std::atomic<int64_t> next{0};
  const auto work = [&](int64_t, int64_t) {
    float* const scratch = scratch_of_thread(kernel.scratch_size(call.head_size));
    for (int64_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < num_shares;)
      kernel.attend(call, shares[i], scratch);
  };
  if (useful > 1) {
    torch::stable::parallel_for(0, useful, 1, work);
  } else {
    work(0, 1);
  }
}

Tensor prefix_attention(Tensor query, Tensor key, Tensor value, Tensor pool, Tensor row_bounds,
                        Tensor slot_bounds, Tensor slots, double scaling,
                        std::optional<int64_t> window, std::string kernel) {
  Call call{};
  call.query = heads_of(query, "query");
  call.key = heads_of(key, "key");
  call.value = heads_of(value, "value");
  call.prefix_keys = heads_of(pool, "pool", 0);
  call.prefix_values = heads_of(pool, "pool", 1);
  check_same(key, query, "key");
  check_same(value, query, "value");
  const int64_t num_rows = row_bounds.numel() - 1;
  STD_TORCH_CHECK(num_rows >= 0 && slot_bounds.numel() == num_rows + 1,
                  "prefix_attention: row_bounds and slot_bounds must have N + 1 numbers each");
  const int64_t key_heads = key.size(1);
  STD_TORCH_CHECK(key_heads > 0 && value.size(1) == key_heads && pool.size(0) == 2 &&
                      pool.size(2) == key_heads && query.size(1) % key_heads == 0 &&
                      pool.size(3) == query.size(2),
                  "prefix_attention: key, value and pool must have the same heads, a divisor of "
                  "those of query");
  call.token_type = type_of(query, "query");
  call.prefix_type = type_of(pool, "pool");
  STD_TORCH_CHECK(
      call.token_type == Type::kBFloat16 || call.prefix_type == Type::kFloat32,
      "prefix_attention: a pool of bfloat16 needs tokens of bfloat16");
  call.row_bounds = integers(row_bounds, "row_bounds");
  call.slot_bounds = integers(slot_bounds, "slot_bounds");
  call.slots = integers(slots, "slots");
  check_bounds(call.row_bounds, num_rows, query.size(0), "row_bounds");
  check_bounds(call.slot_bounds, num_rows, slots.numel(), "slot_bounds");
  for (int64_t i = 0; i < slots.numel(); ++i)
    STD_TORCH_CHECK(call.slots[i] >= 0 && call.slots[i] < pool.size(1),
                    "prefix_attention: slot ", call.slots[i], " is not in the pool");
  call.num_heads = query.size(1);
  call.queries_per_key = call.num_heads / key_heads;
  call.head_size = query.size(2);
  call.window = std::clamp<int64_t>(window.value_or(INT32_MAX), 1, INT32_MAX);
  call.scaling = static_cast<float>(scaling);
  const std::vector<int64_t> shape{query.size(0), query.size(1), query.size(2)};
  Tensor output = torch::stable::new_empty(query, shape);
  call.output = output.mutable_data_ptr();
  run(kernel_named(kernel), call, num_rows);
  return output;
}

std::string kernels() {
  std::string names;
  for (const Kernel* kernel : kKernels)
    if (kernel->is_supported()) names += std::string(names.empty() ? "" : " ") + kernel->name;
  return names;
}

}  // namespace
}  // namespace polyprefix

STABLE_TORCH_LIBRARY(polyprefix, library) {
  library.def(
      "prefix_attention(Tensor query, Tensor key, Tensor value, Tensor pool, Tensor row_bounds, "
      "Tensor slot_bounds, Tensor slots, float scaling, int? window=None, str kernel='') -> "
      "Tensor");
  library.def("kernels() -> str");
}

STABLE_TORCH_LIBRARY_IMPL(polyprefix, CPU, library) {
  library.impl("prefix_attention", TORCH_BOX(&polyprefix::prefix_attention));
}

STABLE_TORCH_LIBRARY_IMPL(polyprefix, CompositeExplicitAutograd, library) {
  library.impl("kernels", TORCH_BOX(&polyprefix::kernels));
}
