// The operators `polyprefix::round_rows` and `scale_rows_` of int8 layers, and `kernels`.

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>
#include <torch/headeronly/util/Exception.h>

#include <algorithm>
#include <string>
#include <tuple>

#include "dispatch.h"

namespace polyprefix {
namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// Numbers that justify one more thread. A thread does some 2,000 in a microsecond.
constexpr int64_t kWorthAThread = 40'000;

const float* floats(const Tensor& tensor, int64_t count, const char* name) {
  STD_TORCH_CHECK(tensor.is_cpu() && tensor.scalar_type() == ScalarType::Float &&
                      tensor.is_contiguous() && tensor.numel() == count,
                  "polyprefix: ", name, " must be ", count, " contiguous float32 on the CPU");
  return tensor.const_data_ptr<float>();
}

void check_matrix(const Tensor& tensor, const char* name) {
  STD_TORCH_CHECK(tensor.is_cpu() && tensor.dim() == 2 && tensor.is_contiguous(), "polyprefix: ",
                  name, " must be a contiguous matrix on the CPU");
}

// Call a function with ranges of rows of some width, on as many threads as are worth it.
template <class Function>
void for_rows(int64_t num_rows, int64_t width, const Function& function) {
  const int64_t grain = 1 + kWorthAThread / std::max<int64_t>(width, 1);
  torch::stable::parallel_for(0, num_rows, grain, function);
}

std::tuple<Tensor, Tensor, Tensor> round_rows(Tensor numbers, std::string kernel_name) {
  check_matrix(numbers, "numbers");
  const int64_t num_rows = numbers.size(0), width = numbers.size(1);
  STD_TORCH_CHECK(width > 0, "polyprefix: numbers must have at least one column");
  const float* const from = floats(numbers, num_rows * width, "numbers");
  Tensor codes = torch::stable::new_empty(numbers, {num_rows, width}, ScalarType::Byte);
  Tensor scales = torch::stable::new_empty(numbers, {num_rows});
  Tensor lows = torch::stable::new_empty(numbers, {num_rows});
  const Rounding call{from, width, codes.mutable_data_ptr<uint8_t>(),
                      scales.mutable_data_ptr<float>(), lows.mutable_data_ptr<float>()};
  const Kernel& kernel = kernel_named(kernel_name);
  for_rows(num_rows, width,
           [&](int64_t first, int64_t last) { kernel.round_rows(call, first, last); });
  return {codes, scales, lows};
}

void scale_rows(Tensor sums, Tensor scales, Tensor lows, Tensor weight_scales, Tensor shifts,
                Tensor bias, std::string kernel_name) {
  check_matrix(sums, "sums");
  const int64_t num_rows = sums.size(0), width = sums.size(1);
  const ScalarType type = sums.scalar_type();
  STD_TORCH_CHECK(type == ScalarType::Int || type == ScalarType::Float,
                  "polyprefix: sums must have dtype int32 or float32");
  const Scaling call{sums.mutable_data_ptr(),
                     type == ScalarType::Int,
                     width,
                     floats(scales, num_rows, "scales"),
                     floats(lows, num_rows, "lows"),
                     floats(weight_scales, width, "weight_scales"),
                     floats(shifts, width, "shifts"),
                     floats(bias, width, "bias")};
  const Kernel& kernel = kernel_named(kernel_name);
  for_rows(num_rows, width,
           [&](int64_t first, int64_t last) { kernel.scale_rows(call, first, last); });
}

std::string kernels() {
  std::string names;
  for (const Kernel* kernel : kKernels)
    if (kernel->is_supported()) names += std::string(names.empty() ? "" : " ") + kernel->name;
  return names;
}

}  // namespace
}  // namespace polyprefix

STABLE_TORCH_LIBRARY_FRAGMENT(polyprefix, library) {
  library.def("round_rows(Tensor numbers, str kernel='') -> (Tensor, Tensor, Tensor)");
  library.def(
      "scale_rows_(Tensor(a!) sums, Tensor scales, Tensor lows, Tensor weight_scales, "
      "Tensor shifts, Tensor bias, str kernel='') -> ()");
  library.def("kernels() -> str");
}

STABLE_TORCH_LIBRARY_IMPL(polyprefix, CPU, library) {
  library.impl("round_rows", TORCH_BOX(&polyprefix::round_rows));
  library.impl("scale_rows_", TORCH_BOX(&polyprefix::scale_rows));
}

STABLE_TORCH_LIBRARY_IMPL(polyprefix, CompositeExplicitAutograd, library) {
  library.impl("kernels", TORCH_BOX(&polyprefix::kernels));
}
