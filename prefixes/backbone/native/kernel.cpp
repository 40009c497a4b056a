// The attention of one share. Compiled once for each instruction set; see build.py.
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

#include <cstring>

#include "attention.h"

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
constexpr int kPanelsAtOnce = 2;   // times kKeysAtOnce: the vectors of scores in registers
constexpr int kQueriesAtOnce = 4;  // times kColumnsAtOnce: the vectors of outputs in registers
constexpr int kMaxPanels = kMaxQueries / kLanes;

// The keys of a chunk. Scores are computed for several keys at once, and may be computed for keys
// behind the last one, which nobody reads.
constexpr int kMaxKeys = 128;
constexpr int kPaddedKeys = (kMaxKeys + kKeysAtOnce - 1) / kKeysAtOnce * kKeysAtOnce;
constexpr int kScoresOfPanel = kPaddedKeys * kLanes;

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

inline Floats load(const BFloat16* from) {
  Halves value;
  memcpy(&value, from, sizeof value);
  return bits_of<Floats>(__builtin_convertvector(value, Words) << 16);
}

inline float load_one(const float* from) { return *from; }

inline float load_one(const BFloat16* from) { return bits_of<float>(uint32_t{from->bits} << 16); }

inline void store(float* to, Floats value) { memcpy(to, &value, sizeof value); }

inline void store(BFloat16* to, Floats value) {
  const Words bits = bits_of<Words>(value);
  const Words nearest_even = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  const Words rounded = value != value ? Words{} + 0x7fc0 : nearest_even;  // NaN stays NaN
  const Halves halves = __builtin_convertvector(rounded, Halves);
  memcpy(to, &halves, sizeof halves);
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

template <class Number>
inline const Number* at(const Heads& heads, int64_t row, int64_t head) {
  return static_cast<const Number*>(heads.data) + row * heads.row_stride + head * heads.head_stride;
}

// Fetch the numbers of the next head, which are needed soon, into the cache. The processor does not
// guess them, because it sees short reads that are far apart.
template <class Number>
inline void fetch_next(const Number* numbers, int64_t size, int64_t head_stride) {
  constexpr int64_t kLine = 64 / sizeof(Number);
  for (int64_t d = 0; d < size; d += kLine) __builtin_prefetch(numbers + head_stride + d);
}

// ---------------------------------------------------------------------------------------------
// Queries
// ---------------------------------------------------------------------------------------------

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

// Scale and transpose `count` queries to a panel [D, lane]. Lanes in excess repeat the last query.
template <class Token>
void fill_panel(const Call& call, int64_t first_token, int64_t head, int64_t count, float* panel) {
  const int64_t size = call.head_size;
  const float scaling = call.scaling;
  const Token* of_lane[kLanes];
  for (int lane = 0; lane < kLanes; ++lane) {
    of_lane[lane] = at<Token>(call.query, first_token + least(lane, count - 1), head);
    fetch_next(of_lane[lane], size, call.query.head_stride);
  }
  int64_t d = 0;
  for (; d + kLanes <= size; d += kLanes) {
    Floats square[kLanes];
#pragma GCC unroll 16
    for (int lane = 0; lane < kLanes; ++lane) square[lane] = load(of_lane[lane] + d) * scaling;
    transpose<kLanes / 2>(square);
#pragma GCC unroll 16
    for (int lane = 0; lane < kLanes; ++lane) store(panel + (d + lane) * kLanes, square[lane]);
  }
  for (; d < size; ++d)
    for (int lane = 0; lane < kLanes; ++lane)
      panel[d * kLanes + lane] = load_one(of_lane[lane] + d) * scaling;
}

// ---------------------------------------------------------------------------------------------
// Keys and values
// ---------------------------------------------------------------------------------------------

struct Columns {
  int64_t size;    // D
  int64_t padded;  // D, rounded up to whole vectors
};

// Some keys of a text in one head and their values [count, padded], copied as float32. In the
// tensors, rows of one head are as far apart as all heads are wide, so that most of them would
// compete for a few places in the cache.
struct Keys {
  float* key;
  float* value;
  int count;
  int num_slots;        // the first are those of the prefix
  int64_t first_token;  // the text's token that the first of the others is
};

// Copy a key or value, with zeros to the end of the last vector.
template <class Number>
inline void copy(const Number* from, Columns columns, float* to) {
  int64_t d = 0;
  for (; d + kLanes <= columns.size; d += kLanes) store(to + d, load(from + d));
  for (; d < columns.size; ++d) to[d] = load_one(from + d);
  for (; d < columns.padded; ++d) to[d] = 0;
}


// The keys and values of a text in one head, in chunks.
template <class Token, class Prefix>
class KeyReader {
 public:
  // Reads the slots of the prefix, then the tokens from `first_token` to `last_token`.
  KeyReader(const Call& call, int64_t row, int64_t head, int64_t first_token, int64_t last_token,
            Columns columns)
      : call_(call),
        row_start_(call.row_bounds[row]),
        slots_(call.slots + call.slot_bounds[row]),
        num_slots_(call.slot_bounds[row + 1] - call.slot_bounds[row]),
        head_(head),
        token_(first_token),
        last_token_(last_token),
        columns_(columns) {}

  // Read the next keys; return whether there were any.
  bool read(Keys& keys) {
    int count = 0;
    for (; slot_ < num_slots_ && count < kMaxKeys; ++slot_)
      put<Prefix>(keys, count++, call_.prefix_keys, call_.prefix_values, slots_[slot_]);
    keys.num_slots = count;
    keys.first_token = token_;
    for (; token_ < last_token_ && count < kMaxKeys; ++token_)
      put<Token>(keys, count++, call_.key, call_.value, row_start_ + token_);
    keys.count = count;
    return count > 0;
  }

 private:
  template <class Number>
  void put(Keys& keys, int index, const Heads& key, const Heads& value, int64_t row) const {
    copy(at<Number>(key, row, head_), columns_, keys.key + index * columns_.padded);
    copy(at<Number>(value, row, head_), columns_, keys.value + index * columns_.padded);
    fetch_next(at<Number>(key, row, head_), columns_.size, key.head_stride);
    fetch_next(at<Number>(value, row, head_), columns_.size, value.head_stride);
  }

  const Call& call_;
  const int64_t row_start_;
  const int64_t* const slots_;
  const int64_t num_slots_;
  const int64_t head_;
  int64_t slot_ = 0;
  int64_t token_;
  const int64_t last_token_;
  const Columns columns_;
};

// ---------------------------------------------------------------------------------------------
// Scores, softmax, output
// ---------------------------------------------------------------------------------------------

// The running softmax of the queries in a panel: the greatest score so far, and the sum of the
// exponentials relative to it.
struct Softmax {
  Floats greatest = all(kLowest);
  Floats sum = {};
};

// Compute the scores [panel, key, lane] of some panels [panel, D, lane] of queries.
template <int kPanels>
inline void score(const Keys& keys, const float* panels, Columns columns, float* scores) {
  const int64_t size = columns.size;
  for (int first = 0; first < keys.count; first += kKeysAtOnce) {
    const float* const key = keys.key + first * columns.padded;
    Floats total[kPanels][kKeysAtOnce] = {};
    for (int64_t d = 0; d < size; ++d) {
      Floats query[kPanels];
#pragma GCC unroll 2
      for (int panel = 0; panel < kPanels; ++panel)
        query[panel] = load(panels + (panel * size + d) * kLanes);
#pragma GCC unroll 8
      for (int k = 0; k < kKeysAtOnce; ++k) {
        const float number = key[k * columns.padded + d];
#pragma GCC unroll 2
        for (int panel = 0; panel < kPanels; ++panel) total[panel][k] += query[panel] * number;
      }
    }
#pragma GCC unroll 2
    for (int panel = 0; panel < kPanels; ++panel)
#pragma GCC unroll 8
      for (int k = 0; k < kKeysAtOnce; ++k)
        store(scores + panel * kScoresOfPanel + (first + k) * kLanes, total[panel][k]);
  }
}

// Give tokens at a distance of the window or more from a query the score -infinity.
void mask(const Keys& keys, int64_t first_query, int64_t window, float* scores) {
  Ints lane;
  for (int i = 0; i < kLanes; ++i) lane[i] = i;
  for (int k = keys.num_slots; k < keys.count; ++k) {
    const auto ahead = static_cast<int32_t>(keys.first_token + (k - keys.num_slots) - first_query);
    const Ints distance = ahead - lane;
    const Ints reach = Ints{} + static_cast<int32_t>(window);
    const Ints is_near = (distance < reach) & (-distance < reach);
    const Floats scored = load(scores + k * kLanes);
    store(scores + k * kLanes, is_near ? scored : all(-__builtin_inff()));
  }
}

// Turn the scores of a panel into weights relative to the greatest score so far. Return the factor
// by which it reduces earlier weights.
inline Floats weigh(const Keys& keys, float* scores, Softmax& softmax) {
  Floats greatest = softmax.greatest;
  for (int k = 0; k < keys.count; ++k) {
    const Floats value = load(scores + k * kLanes);
    greatest = value > greatest ? value : greatest;
  }
  Floats sum = {};
  for (int k = 0; k < keys.count; ++k) {
    const Floats weight = exp_of_negative(load(scores + k * kLanes) - greatest);
    store(scores + k * kLanes, weight);
    sum += weight;
  }
  const Floats decay = exp_of_negative(softmax.greatest - greatest);
  softmax.greatest = greatest;
  softmax.sum = softmax.sum * decay + sum;
  return decay;
}

// Add weighted values to some vectors of the outputs of some queries: `output` points at these
// columns of the first query, `weights` and `decay` at its lane. The first keys replace outputs.
template <int kColumns>
inline void add_values(const float* values, int count, int64_t padded, const float* weights,
                       const float* decay, bool is_first, float* output) {
  Floats total[kQueriesAtOnce][kColumns] = {};
  if (!is_first) {
#pragma GCC unroll 4
    for (int query = 0; query < kQueriesAtOnce; ++query)
#pragma GCC unroll 4
      for (int c = 0; c < kColumns; ++c)
        total[query][c] = load(output + query * padded + c * kLanes) * decay[query];
  }
  for (int k = 0; k < count; ++k) {
    Floats value[kColumns];
#pragma GCC unroll 4
    for (int c = 0; c < kColumns; ++c) value[c] = load(values + k * padded + c * kLanes);
#pragma GCC unroll 4
    for (int query = 0; query < kQueriesAtOnce; ++query) {
      const float weight = weights[k * kLanes + query];
#pragma GCC unroll 4
      for (int c = 0; c < kColumns; ++c) total[query][c] += weight * value[c];
    }
  }
#pragma GCC unroll 4
  for (int query = 0; query < kQueriesAtOnce; ++query)
#pragma GCC unroll 4
    for (int c = 0; c < kColumns; ++c) store(output + query * padded + c * kLanes, total[query][c]);
}

// Add weighted values to the outputs [lane, padded] of the first `num_queries` of a panel.
void add_panel(const Keys& keys, int64_t num_queries, Columns columns, const float* weights,
               Floats decay, bool is_first, float* output) {
  alignas(Floats) float decays[kLanes];
  store(decays, decay);
  for (int64_t query = 0; query < num_queries; query += kQueriesAtOnce) {
    float* const first = output + query * columns.padded;
    int64_t column = 0;
    const auto add = [&](auto num_columns) {
      for (; column + num_columns * kLanes <= columns.padded; column += num_columns * kLanes)
        add_values<num_columns>(keys.value + column, keys.count, columns.padded, weights + query,
                                decays + query, is_first, first + column);
    };
    add(Constant<kColumnsAtOnce>{});
    add(Constant<2>{});
    add(Constant<1>{});
  }
}

// Divide the outputs of a panel by the sums of the weights.
template <class Token>
void finish_panel(const float* outputs, const Softmax& softmax, int64_t num_queries,
                  Columns columns, int64_t stride, Token* to) {
  const Floats factors = 1.0f / softmax.sum;
  for (int64_t query = 0; query < num_queries; ++query) {
    const float* const output = outputs + query * columns.padded;
    const float factor = factors[query];
    Token* const token = to + query * stride;
    int64_t d = 0;
    for (; d + kLanes <= columns.size; d += kLanes) store(token + d, load(output + d) * factor);
    for (; d < columns.size; ++d) store_one(token + d, output[d] * factor);
  }
}

// ---------------------------------------------------------------------------------------------
// Shares
// ---------------------------------------------------------------------------------------------

// The parts of scratch memory, each of whole vectors.
struct Scratch {
  float* queries;  // [panel, D, lane]
  float* outputs;  // [query, padded]
  float* scores;   // [panel, key, lane] of the panels at once
  float* keys;     // [key, padded]
  float* values;   // as keys

  Scratch(float* memory, Columns columns) {
    queries = memory;
    outputs = queries + kMaxQueries * columns.size;
    scores = outputs + kMaxQueries * columns.padded;
    keys = scores + kPanelsAtOnce * kScoresOfPanel;
    values = keys + kPaddedKeys * columns.padded;
  }
};

Columns columns_of(int64_t head_size) {
  return {head_size, (head_size + kLanes - 1) / kLanes * kLanes};
}

size_t scratch_size(int64_t head_size) {
  const Columns columns = columns_of(head_size);
  return kMaxQueries * (columns.size + columns.padded) + kPanelsAtOnce * kScoresOfPanel +
         2 * kPaddedKeys * columns.padded;
}

template <int kPanels>
void add_keys(const Call& call, const Share& share, const Keys& keys, int first_panel,
              Columns columns, bool is_first, const Scratch& scratch, Softmax* softmax) {
  score<kPanels>(keys, scratch.queries + first_panel * kLanes * columns.size, columns,
                 scratch.scores);
  for (int panel = 0; panel < kPanels; ++panel) {
    const int64_t first_lane = (first_panel + panel) * kLanes;
    const int64_t first_query = share.first_query + first_lane;
    float* const scores = scratch.scores + panel * kScoresOfPanel;
    if (call.window < INT32_MAX) mask(keys, first_query, call.window, scores);
    const Floats decay = weigh(keys, scores, softmax[first_panel + panel]);
    add_panel(keys, least(kLanes, share.last_query - first_query), columns, scores, decay, is_first,
              scratch.outputs + first_lane * columns.padded);
  }
}

template <class Token, class Prefix>
void attend_head(const Call& call, const Share& share, int64_t head, Columns columns,
                 const Scratch& scratch) {
  const int64_t row_start = call.row_bounds[share.row];
  const int64_t num_tokens = call.row_bounds[share.row + 1] - row_start;
  const int64_t num_queries = share.last_query - share.first_query;
  const int num_panels = static_cast<int>((num_queries + kLanes - 1) / kLanes);
  const int64_t first_token = row_start + share.first_query;
  for (int panel = 0; panel < num_panels; ++panel)
    fill_panel<Token>(call, first_token + panel * kLanes, head,
                      least(kLanes, num_queries - panel * kLanes),
                      scratch.queries + panel * kLanes * columns.size);

  const int64_t reach = least(call.window, num_tokens);
  KeyReader<Token, Prefix> reader(call, share.row, head / call.queries_per_key,
                                  most(0, share.first_query - reach + 1),
                                  least(num_tokens, share.last_query + reach - 1), columns);
  Softmax softmax[kMaxPanels];
  Keys keys{scratch.keys, scratch.values, 0, 0, 0};
  for (bool is_first = true; reader.read(keys); is_first = false) {
    int panel = 0;
    for (; panel + kPanelsAtOnce <= num_panels; panel += kPanelsAtOnce)
      add_keys<kPanelsAtOnce>(call, share, keys, panel, columns, is_first, scratch, softmax);
    for (; panel < num_panels; ++panel)
      add_keys<1>(call, share, keys, panel, columns, is_first, scratch, softmax);
  }

  const int64_t stride = call.num_heads * columns.size;
  for (int panel = 0; panel < num_panels; ++panel)
    finish_panel(scratch.outputs + panel * kLanes * columns.padded, softmax[panel],
                 least(kLanes, num_queries - panel * kLanes), columns, stride,
                 static_cast<Token*>(call.output) + (first_token + panel * kLanes) * stride +
                     head * columns.size);
}

template <class Token, class Prefix>
void attend_heads(const Call& call, const Share& share, float* memory) {
  const Columns columns = columns_of(call.head_size);
  const Scratch scratch(memory, columns);
  for (int64_t head = share.first_head; head < share.last_head; ++head)
    attend_head<Token, Prefix>(call, share, head, columns, scratch);
}

void attend(const Call& call, const Share& share, float* memory) {
  if (call.token_type == Type::kFloat32) {
    attend_heads<float, float>(call, share, memory);
  } else if (call.prefix_type == Type::kFloat32) {
    attend_heads<BFloat16, float>(call, share, memory);
  } else {
    attend_heads<BFloat16, BFloat16>(call, share, memory);
  }
}

bool is_supported() {
#if defined(__AVX512F__)
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
const Kernel POLYPREFIX_KERNEL = {POLYPREFIX_STRING(POLYPREFIX_KERNEL), is_supported, scratch_size,
                                  attend};

}  // namespace polyprefix
