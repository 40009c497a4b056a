/** The confusion of labels: how many rows of each label got which answer. */

import { h } from "./dom.js";
import { number } from "./facts.js";
import { table } from "./table.js";

const MAX_MATRIX = 12;
const MAX_PAIRS = 20;

/**
 * Create a matrix, or the most frequent mistakes if there are too many labels for one.
 *
 * @param {string[]} labels
 * @param {number[][]} cells `[true label, given label, rows]` for each pair; null for other tasks
 */
export function confusionTable(labels, cells) {
  const isSingle =
    Array.isArray(cells?.[0]) && cells[0].length === 3 && !Array.isArray(cells[0][0]);
  if (!isSingle) return null;
  return labels.length <= MAX_MATRIX ? matrix(labels, cells) : pairs(labels, cells);
}

function matrix(labels, cells) {
  const counts = new Map(cells.map(([truth, given, count]) => [`${truth} ${given}`, count]));
  const cell = (truth, given) => {
    const count = counts.get(`${truth} ${given}`) ?? 0;
    return h("td", { class: truth === given ? "numeric right" : "numeric" }, String(count));
  };
  return h(
    "div",
    { class: "table-box", role: "region", "aria-label": "Confusion matrix", tabindex: "0" },
    h(
      "table",
      { class: "confusion" },
      h("caption", {}, "Confusion matrix: rows of each true label by the label that was given"),
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          h("th", { scope: "col" }, "True label"),
          labels.map((label) => h("th", { scope: "col", class: "numeric" }, label)),
        ),
      ),
      h(
        "tbody",
        {},
        labels.map((label, truth) =>
          h(
            "tr",
            {},
            h("th", { scope: "row" }, label),
            labels.map((_, given) => cell(truth, given)),
          ),
        ),
      ),
    ),
  );
}

function pairs(labels, cells) {
  const wrong = cells
    .filter(([truth, given]) => truth !== given)
    .toSorted((one, other) => other[2] - one[2]);
  return table({
    caption: "Most frequent confusions",
    rows: wrong.slice(0, MAX_PAIRS),
    empty: "No row got a wrong label.",
    columns: [
      { label: "True label", value: ([truth]) => labels[truth] },
      { label: "Given label", value: ([, given]) => labels[given] },
      { label: "Rows", value: ([, , count]) => number(count), isNumeric: true },
    ],
  });
}
