/** The figures of a finished training: metrics, scores of each label, and the confusion of labels. */

import { h } from "../components/dom.js";
import { number } from "../components/facts.js";
import { table } from "../components/table.js";

const MAX_MATRIX = 12;
const MAX_PAIRS = 20;

/** Create the section of a report. */
export function reportOf(report) {
  const measured = report.test ?? report.validation;
  if (!measured) return null;
  const rows = report.test ? "test rows" : "validation rows";
  return h(
    "section",
    { class: "card", "aria-label": "Figures" },
    h("h2", {}, `Figures on the ${rows}`),
    h("dl", {}, Object.entries(measured.metrics).flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, number(value))])),
    measured.per_label?.length > 0 && labelTable(measured.per_label),
    confusionOf(report.data.labels, measured.confusion),
  );
}

function labelTable(scores) {
  return table({
    caption: "Labels",
    rows: scores,
    columns: [
      { label: "Label", value: ({ label }) => label },
      { label: "Precision", value: ({ precision }) => number(precision), isNumeric: true },
      { label: "Recall", value: ({ recall }) => number(recall), isNumeric: true },
      { label: "F1", value: ({ f1 }) => number(f1), isNumeric: true },
      { label: "Rows", value: ({ support }) => number(support), isNumeric: true },
    ],
  });
}

/** Show the confusion of single labels: `[true label, given label, rows]` for each pair. */
function confusionOf(labels, cells) {
  const isSingle = Array.isArray(cells?.[0]) && cells[0].length === 3 && !Array.isArray(cells[0][0]);
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
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "True label"), labels.map((label) => h("th", { scope: "col", class: "numeric" }, label)))),
      h("tbody", {}, labels.map((label, truth) => h("tr", {}, h("th", { scope: "row" }, label), labels.map((_, given) => cell(truth, given))))),
    ),
  );
}

function pairs(labels, cells) {
  const wrong = cells.filter(([truth, given]) => truth !== given).toSorted((one, other) => other[2] - one[2]);
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
