/** The check of a file before a training: numbers of rows and labels, warnings, and invalid rows. */

import { barChart } from "../components/charts.js";
import { fill, h } from "../components/dom.js";
import { errorBox } from "../components/errors.js";
import { number, tag } from "../components/facts.js";
import { table } from "../components/table.js";

const MAX_BYTES = 8 * 1024 * 1024;
const MAX_LABELS = 30;
const MAX_CHARACTERS = 200;
const METHODS = {
  few_shot: "There are few rows, so the server computes a head from them without training.",
  prefix: "The server trains a prefix.",
};

/**
 * Create the panel: its `element`, and `run(file, check, retry)` to fill it.
 *
 * `missColumns` is called when the server cannot tell which columns have the texts and labels.
 */
export function rowCheck(context, { missColumns }) {
  const element = h("section", { "aria-label": "Check of the rows", "aria-live": "polite" });
  let latest = null;
  const run = async (file, check, retry) => {
    latest = file;
    fill(
      element,
      h("p", { class: "hint", role: "status" }, `Checking the rows of ${file.name} ...`),
    );
    let found;
    try {
      found = await check();
    } catch (error) {
      if (!context.signal.aborted && latest === file) fill(element, errorBox(error), again(retry));
      return;
    }
    const lines = await linesOf(file);
    if (latest !== file) return;
    const columns = columnsOf(file, found.error);
    if (columns !== null) missColumns();
    const result = columns === null ? resultOf(found, lines) : unnamedColumns(found.error, columns);
    fill(element, result, again(retry));
  };
  return { element, run };
}

function again(retry) {
  return h("p", {}, h("button", { type: "button", onclick: retry }, "Check again"));
}

function resultOf(found, lines) {
  return found.error ? rejected(found.error, lines) : accepted(found, lines);
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

/** Return the columns of a table that has others than `text` and `label`, or null. */
function columnsOf(file, problem) {
  if (!/\.(csv|tsv)$/i.test(file.name)) return null; // rows of JSON may lack what others have
  const messages = (problem?.errors ?? []).map(({ message }) => message);
  const found = messages.map((message) => message.match(/_column, found only the columns (.+)$/));
  return found.length > 0 && found.every((one) => one !== null) ? found[0][1] : null;
}

function unnamedColumns(problem, columns) {
  const detail = `The columns of the file are ${columns}. Enter the one with the text and the one with the label in Settings, then check again.`;
  return errorBox({ problem: { ...problem, errors: [], detail } });
}

function rejected(problem, lines) {
  const errors = problem.errors ?? [];
  const head = {
    ...problem,
    errors: [],
    detail: errors.length > 0 ? "Correct these rows, then choose the file again." : problem.detail,
  };
  return [
    errorBox({ problem: head }),
    errors.length > 0 &&
      table({
        caption: "Invalid rows",
        rows: errors,
        columns: [
          { label: "Place", value: ({ field }) => field },
          { label: "Problem", value: ({ message }) => message },
          { label: "Row", value: ({ field }) => rowAt(field, lines) },
        ],
      }),
  ];
}

function rowAt(field, lines) {
  const line = field.startsWith("train") ? Number(field.match(/ (\d+)$/)?.[1]) : Number.NaN;
  return lines[line - 1] === undefined ? "" : h("code", {}, shortened(lines[line - 1]));
}

async function linesOf(file) {
  const isText = !/\.parquet$/i.test(file.name) && file.size <= MAX_BYTES;
  return isText ? (await file.text()).split(/\r?\n/) : [];
}

function shortened(line) {
  return line.length > MAX_CHARACTERS ? `${line.slice(0, MAX_CHARACTERS)} ...` : line;
}
