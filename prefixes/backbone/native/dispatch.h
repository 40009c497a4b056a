// The kernels that this library has, and the choice of one.
//
// For the files with operators, which use PyTorch's stable interface.

#pragma once

#include <torch/headeronly/util/Exception.h>

#include <string>

#include "kernels.h"

namespace polyprefix {

#if defined(__x86_64__)
#if defined(POLYPREFIX_HAS_AVX512BF16)
extern const Kernel avx512bf16;
#endif
extern const Kernel avx512;
extern const Kernel avx2;
#endif
extern const Kernel baseline;

namespace {

// The fastest first. The last one runs on every processor of this kind.
const Kernel* const kKernels[] = {
#if defined(__x86_64__)
#if defined(POLYPREFIX_HAS_AVX512BF16)
    &avx512bf16,
#endif
    &avx512, &avx2,
#endif
    &baseline,
};

const Kernel& kernel_named(const std::string& name) {
  for (const Kernel* kernel : kKernels)
    if ((name.empty() || name == kernel->name) && kernel->is_supported()) return *kernel;
  STD_TORCH_CHECK(false, "polyprefix: this processor cannot run the kernel ", name);
}

}  // namespace
}  // namespace polyprefix
