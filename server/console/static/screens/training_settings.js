/** Settings of a training. The defaults suit most files, so all of them are folded away. */

import { h } from "../components/dom.js";
import { InputError } from "../components/errors.js";
import { areaField, fileField, selectField, textField } from "../components/fields.js";
import { ColumnFields } from "./training_columns.js";

const TASK_TYPES = [
  ["", "Labels of texts (default)"],
  ["token_classification", "Entities within texts"],
  ["question_answering", "Answers within a context"],
  ["multiple_choice", "The best of several choices"],
  ["embedding", "Embeddings"],
];
const PROBLEM_TYPES = [
  ["", "Read from the rows (default)"],
  ["single_label_classification", "One label per text"],
  ["multi_label_classification", "Several labels per text"],
  ["regression", "A number per text"],
];
const METHODS = [
  ["", "By the number of rows (default)"],
  ["vectors", "Train vectors of the norms"],
  ["prefix", "Train keys and values"],
  ["few_shot", "Compute a head from few rows"],
  ["head", "Train a head only"],
];
const TEACHERS = [
  ["", "None (default)"],
  ["full", "A model that is fine-tuned first"],
];
const LENGTHS = [
  ["", "Four passes, at least 400 steps (default)"],
  ["early", "The same, but stop after 5 evaluations without a new best"],
  ["50", "At most 50 steps"],
  ["200", "At most 200 steps"],
  ["1000", "At most 1000 steps"],
];

/** Create the settings: their `element`, the `columns` among them, and `values()` to send. */
export function trainingSettings({ accept }) {
  let unlabeled = null;
  const taskType = selectField({ label: "The task answers with", options: TASK_TYPES });
  const problemType = selectField({ label: "Labels", options: PROBLEM_TYPES });
  const method = selectField({ label: "Method", options: METHODS });
  const length = selectField({ label: "Training length", options: LENGTHS });
  const columns = new ColumnFields();
  const teacher = selectField({
    label: "Teacher",
    options: TEACHERS,
    hint: "The prefix also learns the answers of its teacher. This takes several times as long.",
  });
  const unlabeledRows = fileField({
    label: "File without labels",
    hint: "More texts of the same kind. The prefix learns the answers of the teacher to them.",
    accept,
    choose: (file) => {
      unlabeled = file;
      teacher.value = "full";
    },
  });
  const margin = textField({
    label: "Promotion margin",
    type: "number",
    min: "0",
    step: "any",
    hint: "The new version is promoted if its metric exceeds that of the live one by more than this. Default: 0.",
  });
  const alias = textField({ label: "Alias to promote", hint: "Default: live." });
  const others = areaField({
    label: "Other settings",
    hint: 'A JSON object, such as {"epochs": 8, "seed": 1}. The names are those of polyprefix train --set.',
  });
  const element = h(
    "details",
    {},
    h("summary", {}, "Settings"),
    h(
      "div",
      { class: "columns" },
      taskType,
      problemType,
      method,
      length,
      margin,
      alias,
      teacher,
      unlabeledRows,
    ),
    columns.home,
    others,
  );
  const config = () => ({
    ...given("task_type", taskType.value),
    ...given("problem_type", problemType.value),
    ...given("method", method.value),
    ...lengthOf(length.value),
    ...given("text_column", columns.values[0]),
    ...given("label_column", columns.values[1]),
    ...given("teacher", teacher.value),
    ...parsed(others.value),
  });
  return {
    element,
    columns,
    chooseTaskType: (value) => {
      taskType.value = value;
    },
    values: () => ({
      config: config(),
      unlabeled: teacher.value === "" ? null : unlabeled,
      margin: margin.value || null,
      alias: alias.value.trim() || null,
    }),
  };
}

function lengthOf(choice) {
  if (choice === "early") return { patience: 5 };
  return choice === "" ? {} : { max_steps: Number(choice) };
}

function given(name, value) {
  return value === "" ? {} : { [name]: value };
}

function parsed(text) {
  if (text.trim() === "") return {};
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new InputError(
      "Invalid other settings",
      `Expected a JSON object such as {"seed": 1}. The text is not valid JSON: ${error.message}.`,
    );
  }
}
