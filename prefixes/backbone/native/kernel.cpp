// Prefix attention and its gradients, int8 rounding, and vectors of the norms. Compiled once for
// each instruction set; see build.py.
//
// A lane of a vector is a query. The queries of a share are transposed once, into panels of as many
// queries as a vector has lanes. Each number of a key is multiplied with all lanes, so that the
// maximum and the sum of the softmax need no operation across lanes, and no number of keys needs a
// mask. Keys are processed in chunks with a running softmax (Milakov and Gimelshein, "Online
// normalizer calculation for softmax", 2018), so that a long text needs no more memory than a short
// one.
//
// Everything here is in an unnamed namespace, and no function of the standard library is called
// that the compiler could emit as a shared copy. Otherwise, the linker might keep the copy that
// was compiled for instructions that the processor lacks.

#include "attention.h"
#include "backward.h"
#include "forward.h"
#include "kernels.h"
#include "modulate.h"
#include "rounding.h"

namespace polyprefix {
namespace {

bool is_supported() {
#if defined(__AVX512BF16__)
  return __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#elif defined(__AVX512F__)
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#elif defined(__AVX2__)
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
  return true;
#endif
}

}  // namespace

#define POLYPREFIX_STRING_OF(name) #name
#define POLYPREFIX_STRING(name) POLYPREFIX_STRING_OF(name)

extern const Kernel POLYPREFIX_KERNEL;
const Kernel POLYPREFIX_KERNEL = {
    POLYPREFIX_STRING(POLYPREFIX_KERNEL), is_supported,  scratch_size, attend,
    backward_scratch_size,                differentiate, round_rows, scale_rows,
    modulate,
};

}  // namespace polyprefix
