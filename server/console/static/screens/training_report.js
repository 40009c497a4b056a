/** The figures of a finished training: metrics, scores of each label, and the confusion of labels. */

import { confusionTable } from "../components/confusion.js";
import { h } from "../components/dom.js";
import { factList, metric, number } from "../components/facts.js";
import { table } from "../components/table.js";

/** Create the section of a report. */
export function reportOf(report) {
  const measured = report.test ?? report.validation;
  if (!measured) return null;
  const rows = report.test ? "test rows" : "validation rows";
  return h(
    "section",
    { class: "card", "aria-label": "Figures" },
    h("h2", {}, `Figures on the ${rows}`),
    factList(Object.entries(measured.metrics).map(([name, value]) => [name, metric(value)])),
    measured.per_label?.length > 0 && labelTable(measured.per_label),
    confusionTable(report.data.labels, measured.confusion),
  );
}

function labelTable(scores) {
  return table({
    caption: "Labels",
    rows: scores,
    columns: [
      { label: "Label", value: ({ label }) => label },
      { label: "Precision", value: ({ precision }) => metric(precision), isNumeric: true },
      { label: "Recall", value: ({ recall }) => metric(recall), isNumeric: true },
      { label: "F1", value: ({ f1 }) => metric(f1), isNumeric: true },
      { label: "Rows", value: ({ support }) => number(support), isNumeric: true },
    ],
  });
}
