/** The check of a file before a training: numbers of rows and labels, warnings, and invalid rows. */

import { barChart } from "../components/charts.js";
import { fill, h } from "../components/dom.js";
import { errorBox } from "../components/errors.js";
import { number, tag } from "../components/facts.js";
import { columnQuestion, missingColumns, rejectedRows, shortened } from "./training_problems.js";

const MAX_BYTES = 8 * 1024 * 1024;
const MAX_LABELS = 30;
const METHODS = {
  few_shot: "There are few rows, so the server computes a head from them without training.",
  vectors: "The server trains vectors of the norms.",
  prefix: "The server trains keys and values.",
};

const ADVICE = "Correct these rows, then choose the file again.";

/**
 * Create the panel: its `element`, and `run(file, check, retry)` to fill it. `run` returns what the
 * server found, or null if the check failed or another file was chosen meanwhile.
 *
 * `columns` are the fields to ask for the columns with the texts and labels.
 */
export function rowCheck(context, { columns }) {
  const element = h("section", { "aria-label": "Check of the rows", "aria-live": "polite" });
  let latest = null;
  const run = async (file, check, retry) => {
    latest = file;
    columns.goHome();
    fill(
      element,
      h("p", { class: "hint", role: "status" }, `Checking the rows of ${file.name} ...`),
    );
    let found;
    try {
      found = await check();
    } catch (error) {
      if (!context.signal.aborted && latest === file) fill(element, errorBox(error), again(retry));
      return null;
    }
    const lines = await linesOf(file);
    if (latest !== file) return null;
    const missing = missingColumns(file, found.error);
    if (missing === null) fill(element, resultOf(found, lines), again(retry));
    else {
      const question = columnQuestion(found.error, missing, columns.ask(missing.found));
      fill(element, question, again(retry));
      show(element, columns);
    }
    return found;
  };
  return { element, run };
}

/** Show the question and its fields together. The focus stays where somebody is typing. */
function show(element, columns) {
  const isTyping = document.activeElement?.matches("textarea, input:not([type='file'])");
  if (!isTyping) columns.focus();
  element.scrollIntoView({ block: "nearest" });
}

function again(retry) {
  return h("p", {}, h("button", { type: "button", onclick: retry }, "Check again"));
}

function resultOf(found, lines) {
  return found.error
    ? rejectedRows(found.error, { lines, advice: ADVICE })
    : accepted(found, lines);
}

function accepted(found, lines) {
  const counted = found.parts.filter(({ labels }) => labels.length > 0);
  return [
    h("h2", {}, "Rows ", tag("valid", "good")),
    h("p", {}, METHODS[found.method] ?? `Method: ${found.method}.`),
    h(
      "ul",
      {},
      found.data_summary.map((sentence) => h("li", {}, sentence)),
    ),
    counted.length > 0 && labelBars(counted[0]),
    warningList(found.warnings, lines),
  ];
}

function labelBars({ labels }) {
  const sorted = labels
    .toSorted((one, other) => other.num_rows - one.num_rows)
    .slice(0, MAX_LABELS);
  const bars = sorted.map((label) => ({
    label: label.label,
    value: label.num_rows,
    text: number(label.num_rows),
  }));
  const more = labels.length - sorted.length;
  return [
    h("h3", {}, "Labels of the training rows"),
    barChart(bars, sorted[0].num_rows),
    more > 0 && h("p", { class: "hint" }, `and ${more} more labels`),
  ];
}

/** Show warnings, each with the rows of the file that it names. */
export function warningList(warnings, lines = []) {
  if (warnings.length === 0) return h("p", {}, "No warnings.");
  return [
    h("h3", {}, `Warnings (${warnings.length})`),
    h(
      "ul",
      { class: "warnings" },
      warnings.map((warning) => h("li", {}, warning, quoted(numbersIn(warning), lines))),
    ),
  ];
}

function quoted(numbers, lines) {
  const rows = numbers.filter((line) => lines[line - 1] !== undefined);
  return (
    rows.length > 0 &&
    h(
      "ul",
      {},
      rows.map((line) => h("li", {}, `Line ${line}: `, h("code", {}, shortened(lines[line - 1])))),
    )
  );
}

/** Find the lines that a warning of the server names: `at lines 3, 7, 9 and 4 more`. */
function numbersIn(warning) {
  const found = warning.match(/\blines? (\d+(?:, \d+)*)/);
  return found === null ? [] : found[1].split(", ").map(Number);
}

async function linesOf(file) {
  const isText = !/\.parquet$/i.test(file.name) && file.size <= MAX_BYTES;
  return isText ? (await file.text()).split(/\r?\n/) : [];
}
