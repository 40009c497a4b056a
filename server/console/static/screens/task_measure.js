/** Measure a version on labeled rows of one's own: accuracy and confusion, without storing them. */

import { checkUnchanged } from "../components/chosen_files.js";
import { barChart } from "../components/charts.js";
import { confusionTable } from "../components/confusion.js";
import { h } from "../components/dom.js";
import { InputError } from "../components/errors.js";
import { fileField, form } from "../components/fields.js";

const MAX_ROWS = 2000;
const BATCH = 64;

/** Create the section for tasks with one label per text; false for others. */
export function measureSection({ context, detail }) {
  if (detail.spec.problem_type !== "single_label_classification") return false;
  let file = null;
  const choose = fileField({
    label: "Labeled rows",
    accept: ".jsonl,.ndjson",
    hint: `JSON Lines with the fields of the task and "label". The first ${MAX_ROWS} rows are run, as usual requests.`,
    choose: (chosen) => {
      file = chosen;
    },
  });
  const submit = async () => {
    if (file === null)
      throw new InputError("No file is chosen", "Expected a file with labeled rows. Choose one.");
    await checkUnchanged(file);
    return resultOf(await measure(context, detail.ref, rowsOf(await file.text())));
  };
  return h(
    "section",
    { class: "card", "aria-label": "Measure" },
    h(
      "details",
      {},
      h("summary", {}, "Measure this version on rows of your own"),
      form({ label: "Measure", fields: [choose], action: "Measure", submit }),
    ),
  );
}

function rowsOf(text) {
  const lines = text.split(/\r?\n/).filter((line) => line.trim() !== "");
  return lines.slice(0, MAX_ROWS).map((line, index) => {
    try {
      const { label, ...fields } = JSON.parse(line);
      if (label !== undefined) return { label: String(label), fields };
    } catch {
      // reported below, as is a row without a label
    }
    throw new InputError(
      `Line ${index + 1} is not a labeled row`,
      'Expected a JSON object with "label". Correct the line, then try again.',
    );
  });
}

async function measure({ api }, model, rows) {
  const counts = new Map();
  for (let start = 0; start < rows.length; start += BATCH) {
    const part = rows.slice(start, start + BATCH);
    const body = { model, top_k: 1, input: part.map(({ fields }) => fields) };
    const problems = new Set(["single_label_classification"]);
    const { results } = await api.post("/v1/classify", body, { problems });
    for (const [index, result] of results.entries()) {
      const key = JSON.stringify([part[index].label, result.label ?? "(no answer)"]);
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
  }
  const pairs = [...counts].map(([key, count]) => [...JSON.parse(key), count]);
  const labels = [...new Set(pairs.flatMap(([truth, given]) => [truth, given]))].sort();
  return {
    labels,
    cells: pairs.map(([truth, given, count]) => [
      labels.indexOf(truth),
      labels.indexOf(given),
      count,
    ]),
  };
}

function resultOf({ labels, cells }) {
  const sum = (counted) => counted.reduce((total, [, , count]) => total + count, 0);
  const [right, total] = [sum(cells.filter(([truth, given]) => truth === given)), sum(cells)];
  if (total === 0) return h("p", { class: "empty" }, "The file has no rows.");
  return [
    barChart([{ label: "accuracy", value: right / total }]),
    h("p", {}, `${right} of ${total} rows are right.`),
    confusionTable(labels, cells),
  ];
}
