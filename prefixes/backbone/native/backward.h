// The gradients of one text in one head of its keys, and in all heads of queries that share it.
//
// With weights P, scores S, and the gradient G of the output O, row by row (Dao et al.,
// "FlashAttention", 2022, algorithm 4):
//
//   dV = P^T G    dP = G V^T    dS = P (dP - sum(G O))    dQ = dS K    dK = dS^T Q
//
// One thread adds up each sum, always in the same order, so that a training that is resumed
// continues with the same bits.
//
// For kernel.cpp alone, which says why everything is in an unnamed namespace.

#pragma once

#include "attention.h"
#include "lanes.h"
#include "tiles.h"

namespace polyprefix {
namespace {

struct BackwardScratch {
  float* queries;          // panels [panel, D, lane], scaled
  float* gradients;        // panels of the output's gradient
  float* query_rows;       // [query, padded], scaled
  float* gradient_rows;    // [query, padded]
  float* query_gradients;  // [query, padded]
  float* weights;          // [panel, key, lane] of the panels at once
  float* score_gradients;  // as weights
  float* keys;             // [key, padded] of a chunk
  float* values;           // as keys
  float* key_gradients;    // [key, padded] of the text
  float* value_gradients;  // as key_gradients

  BackwardScratch(float* memory, Columns columns, int64_t num_keys) {
    const auto take = [&](int64_t size) {
      float* const part = memory;
      memory += size;
      return part;
    };
    queries = take(kMaxQueries * columns.padded);
    gradients = take(kMaxQueries * columns.padded);
    query_rows = take(kMaxQueries * columns.padded);
    gradient_rows = take(kMaxQueries * columns.padded);
    query_gradients = take(kMaxQueries * columns.padded);
    weights = take(kPanelsAtOnce * kScoresOfPanel);
    score_gradients = take(kPanelsAtOnce * kScoresOfPanel);
    keys = take(kPaddedKeys * columns.padded);
    values = take(kPaddedKeys * columns.padded);
    key_gradients = take((num_keys + kTargetsAtOnce) * columns.padded);
    value_gradients = take((num_keys + kTargetsAtOnce) * columns.padded);
  }
};

size_t backward_scratch_size(int64_t head_size, int64_t num_keys) {
  const Columns columns = columns_of(head_size);
  return (5 * kMaxQueries + 2 * kPaddedKeys + 2 * (num_keys + kTargetsAtOnce)) * columns.padded +
         2 * kPanelsAtOnce * kScoresOfPanel;
}

// Some queries of a text in one head, at most kMaxQueries.
struct Queries {
  int64_t first;  // of the text's tokens
  int64_t count;
  int num_panels;
  Softmax softmax[kMaxPanels];
  Floats products[kMaxPanels];  // sum(G O)
};

inline int64_t queries_in(const Queries& queries, int panel) {
  return least(kLanes, queries.count - panel * kLanes);
}

template <class Token>
float product(const Token* a, const Token* b, int64_t size) {
  Floats sums = {};
  int64_t d = 0;
  for (; d + kLanes <= size; d += kLanes) sums += load(a + d) * load(b + d);
  float sum = 0;
  for (int lane = 0; lane < kLanes; ++lane) sum += sums[lane];
  for (; d < size; ++d) sum += load_one(a + d) * load_one(b + d);
  return sum;
}

// Copy queries and gradients, as rows and as panels.
template <class Token>
void read_queries(const Call& call, const Gradients& gradients, int64_t row_start, int64_t head,
                  Columns columns, const BackwardScratch& scratch, Queries& queries) {
  const int64_t first = row_start + queries.first;
  for (int panel = 0; panel < queries.num_panels; ++panel) {
    const int64_t lane = panel * kLanes;
    const int64_t count = queries_in(queries, panel);
    fill_panel<Token>(call.query, first + lane, head, count, columns.size, call.scaling,
                      scratch.queries + lane * columns.size);
    fill_panel<Token>(gradients.output, first + lane, head, count, columns.size, 1.0f,
                      scratch.gradients + lane * columns.size);
    queries.softmax[panel] = Softmax{};
    queries.products[panel] = Floats{};
  }
  for (int64_t query = 0; query < queries.count; ++query) {
    float* const row = scratch.query_rows + query * columns.padded;
    const Token* const gradient = at<Token>(gradients.output, first + query, head);
    copy(at<Token>(call.query, first + query, head), columns, row);
    for (int64_t d = 0; d < columns.size; ++d) row[d] *= call.scaling;
    copy(gradient, columns, scratch.gradient_rows + query * columns.padded);
    queries.products[query / kLanes][query % kLanes] =
        product(gradient, at<Token>(gradients.attended, first + query, head), columns.size);
  }
}

// Call a function with the first panel of one or two at once, and their number as a Constant.
template <class Function>
inline void for_panels(int num_panels, const Function& function) {
  int panel = 0;
  for (; panel + kPanelsAtOnce <= num_panels; panel += kPanelsAtOnce)
    function(panel, Constant<kPanelsAtOnce>{});
  for (; panel < num_panels; ++panel) function(panel, Constant<1>{});
}

// Compute the scores of some panels with the keys of a chunk.
template <int kPanels>
inline void score_panels(const Call& call, const Keys& keys, const Queries& queries,
                         int first_panel, Columns columns, const BackwardScratch& scratch) {
  score<kPanels>(keys.key, keys.count, scratch.queries + first_panel * kLanes * columns.size,
                 columns, scratch.weights);
  if (call.window == INT32_MAX) return;
  for (int panel = 0; panel < kPanels; ++panel)
    mask(keys, queries.first + (first_panel + panel) * kLanes, call.window,
         scratch.weights + panel * kScoresOfPanel);
}

// Turn the scores of a panel into weights, and the gradients of weights into those of scores.
inline void differentiate_softmax(int count, const Softmax& softmax, Floats products,
                                  float* weights, float* gradients) {
  const Floats factor = 1.0f / softmax.sum;
  for (int k = 0; k < count * kLanes; k += kLanes) {
    const Floats weight = exp_of_negative(load(weights + k) - softmax.greatest) * factor;
    store(weights + k, weight);
    store(gradients + k, weight * (load(gradients + k) - products));
  }
}

// Add what the keys of a chunk contribute to all gradients of some queries. `first_key` is the
// place of the first one in the text.
void differentiate_keys(const Call& call, const Keys& keys, int64_t first_key,
                        const Queries& queries, Start start, Columns columns,
                        const BackwardScratch& scratch) {
  const int64_t padded = columns.padded;
  for_panels(queries.num_panels, [&](int first_panel, auto num_panels) {
    score_panels<num_panels>(call, keys, queries, first_panel, columns, scratch);
    score<num_panels>(keys.value, keys.count,
                      scratch.gradients + first_panel * kLanes * columns.size, columns,
                      scratch.score_gradients);
    for (int i = 0; i < num_panels; ++i) {
      const int panel = first_panel + i;
      const int64_t count = queries_in(queries, panel);
      const int64_t first = panel * kLanes * padded;
      float* const weights = scratch.weights + i * kScoresOfPanel;
      float* const gradients = scratch.score_gradients + i * kScoresOfPanel;
      differentiate_softmax(keys.count, queries.softmax[panel], queries.products[panel], weights,
                            gradients);
      add_rows<OfQueries>(keys.key, keys.count, count, padded, gradients, start, nullptr,
                          scratch.query_gradients + first);
      add_rows<OfKeys>(scratch.query_rows + first, count, keys.count, padded, gradients,
                       Start::kKept, nullptr, scratch.key_gradients + first_key * padded);
      add_rows<OfKeys>(scratch.gradient_rows + first, count, keys.count, padded, weights,
                       Start::kKept, nullptr, scratch.value_gradients + first_key * padded);
    }
  });
}

template <class Token, class Prefix>
void differentiate_queries(const Call& call, const Gradients& gradients, int64_t row, int64_t head,
                           Columns columns, const BackwardScratch& scratch, Queries& queries) {
  const int64_t row_start = call.row_bounds[row];
  const int64_t num_tokens = call.row_bounds[row + 1] - row_start;
  const int64_t key_head = head / call.queries_per_key;
  read_queries<Token>(call, gradients, row_start, head, columns, scratch, queries);
  Keys keys{scratch.keys, scratch.values, 0, 0, 0};

  // The weights need the sums over all keys.
  KeyReader<Token, Prefix> reader(call, row, key_head, 0, num_tokens, columns);
  while (reader.read(keys)) {
    for_panels(queries.num_panels, [&](int first_panel, auto num_panels) {
      score_panels<num_panels>(call, keys, queries, first_panel, columns, scratch);
      for (int i = 0; i < num_panels; ++i)
        weigh(keys.count, scratch.weights + i * kScoresOfPanel, queries.softmax[first_panel + i]);
    });
  }

  KeyReader<Token, Prefix> again(call, row, key_head, 0, num_tokens, columns);
  int64_t first_key = 0;
  while (again.read(keys)) {
    differentiate_keys(call, keys, first_key, queries,
                       first_key == 0 ? Start::kZero : Start::kKept, columns, scratch);
    first_key += keys.count;
  }

  auto* const to = static_cast<Token*>(gradients.query);
  for (int64_t query = 0; query < queries.count; ++query)
    put_row(scratch.query_gradients + query * columns.padded, call.scaling, columns,
            to + ((row_start + queries.first + query) * call.num_heads + head) * columns.size);
}

template <class Token, class Prefix>
void differentiate_row(const Call& call, const Gradients& gradients, int64_t row, int64_t key_head,
                       float* memory) {
  const Columns columns = columns_of(call.head_size);
  const int64_t row_start = call.row_bounds[row];
  const int64_t num_tokens = call.row_bounds[row + 1] - row_start;
  const int64_t first_slot = call.slot_bounds[row];
  const int64_t num_slots = call.slot_bounds[row + 1] - first_slot;
  const BackwardScratch scratch(memory, columns, num_slots + num_tokens);
  const size_t size = (num_slots + num_tokens) * columns.padded * sizeof(float);
  memset(scratch.key_gradients, 0, size);
  memset(scratch.value_gradients, 0, size);

  Queries queries;
  for (int64_t shared = 0; shared < call.queries_per_key; ++shared) {
    for (queries.first = 0; queries.first < num_tokens; queries.first += kMaxQueries) {
      queries.count = least(kMaxQueries, num_tokens - queries.first);
      queries.num_panels = static_cast<int>((queries.count + kLanes - 1) / kLanes);
      differentiate_queries<Token, Prefix>(call, gradients, row,
                                           key_head * call.queries_per_key + shared, columns,
                                           scratch, queries);
    }
  }

  const int64_t num_heads = call.num_heads / call.queries_per_key;
  const auto put = [&](int64_t key, int64_t to, auto* key_gradients, auto* value_gradients) {
    const int64_t place = (to * num_heads + key_head) * columns.size;
    put_row(scratch.key_gradients + key * columns.padded, 1, columns, key_gradients + place);
    put_row(scratch.value_gradients + key * columns.padded, 1, columns, value_gradients + place);
  };
  for (int64_t slot = 0; slot < num_slots; ++slot)
    put(slot, first_slot + slot, gradients.prefix_keys, gradients.prefix_values);
  for (int64_t token = 0; token < num_tokens; ++token)
    put(num_slots + token, row_start + token, static_cast<Token*>(gradients.key),
        static_cast<Token*>(gradients.value));
}

void differentiate(const Call& call, const Gradients& gradients, int64_t row, int64_t key_head,
                   float* memory) {
  if (call.token_type == Type::kFloat32) {
    differentiate_row<float, float>(call, gradients, row, key_head, memory);
  } else if (call.prefix_type == Type::kFloat32) {
    differentiate_row<BFloat16, float>(call, gradients, row, key_head, memory);
  } else {
    differentiate_row<BFloat16, BFloat16>(call, gradients, row, key_head, memory);
  }
}

}  // namespace
}  // namespace polyprefix
