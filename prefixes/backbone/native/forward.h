// The attention of one share.
//
// For kernel.cpp alone, which says why everything is in an unnamed namespace.

#pragma once

#include "attention.h"
#include "lanes.h"
#include "tiles.h"

namespace polyprefix {
namespace {

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

size_t scratch_size(int64_t head_size) {
  const Columns columns = columns_of(head_size);
  return kMaxQueries * (columns.size + columns.padded) + kPanelsAtOnce * kScoresOfPanel +
         2 * kPaddedKeys * columns.padded;
}

template <int kPanels>
void add_keys(const Call& call, const Share& share, const Keys& keys, int first_panel,
              Columns columns, Start start, const Scratch& scratch, Softmax* softmax) {
  score<kPanels>(keys.key, keys.count, scratch.queries + first_panel * kLanes * columns.size,
                 columns, scratch.scores);
  for (int panel = 0; panel < kPanels; ++panel) {
    const int64_t first_lane = (first_panel + panel) * kLanes;
    const int64_t first_query = share.first_query + first_lane;
    float* const scores = scratch.scores + panel * kScoresOfPanel;
    if (call.window < INT32_MAX) mask(keys, first_query, call.window, scores);
    alignas(Floats) float decay[kLanes];
    store(decay, weigh(keys.count, scores, softmax[first_panel + panel]));
    add_rows<OfQueries>(keys.value, keys.count, least(kLanes, share.last_query - first_query),
                        columns.padded, scores, start, decay,
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
    fill_panel<Token>(call.query, first_token + panel * kLanes, head,
                      least(kLanes, num_queries - panel * kLanes), columns.size, call.scaling,
                      scratch.queries + panel * kLanes * columns.size);

  const int64_t reach = least(call.window, num_tokens);
  KeyReader<Token, Prefix> reader(call, share.row, head / call.queries_per_key,
                                  most(0, share.first_query - reach + 1),
                                  least(num_tokens, share.last_query + reach - 1), columns);
  Softmax softmax[kMaxPanels];
  Keys keys{scratch.keys, scratch.values, 0, 0, 0};
  for (Start start = Start::kZero; reader.read(keys); start = Start::kDecayed) {
    int panel = 0;
    for (; panel + kPanelsAtOnce <= num_panels; panel += kPanelsAtOnce)
      add_keys<kPanelsAtOnce>(call, share, keys, panel, columns, start, scratch, softmax);
    for (; panel < num_panels; ++panel)
      add_keys<1>(call, share, keys, panel, columns, start, scratch, softmax);
  }

  auto* const output = static_cast<Token*>(call.output);
  for (int64_t query = 0; query < num_queries; ++query) {
    const float sum = softmax[query / kLanes].sum[query % kLanes];
    put_row(scratch.outputs + query * columns.padded, 1 / sum, columns,
            output + ((first_token + query) * call.num_heads + head) * columns.size);
  }
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

}  // namespace
}  // namespace polyprefix
