/** The form that starts a training: from labeled rows, from names of labels, or from feedback. */

import { confirmDialog } from "../components/dialog.js";
import { h } from "../components/dom.js";
import { InputError } from "../components/errors.js";
import { areaField, fileField, form, selectField, textField } from "../components/fields.js";
import { tenantPath } from "../shell/api.js";
import { linkTo, setQuery } from "../shell/router.js";
import { rowCheck } from "./training_check.js";
import { trainingSettings } from "./training_settings.js";

const SUFFIXES = ".csv,.tsv,.json,.jsonl,.conll,.txt,.parquet";
const STARTS = [
  ["file", "A labeled file"],
  ["labels", "Names of labels, without rows"],
  ["feedback", "Feedback on the answers of the task"],
];

/** Create the form. The query may name the `task` and what to `start` from. */
export function trainingForm(context) {
  return new TrainingForm(context).element;
}

class TrainingForm {
  constructor(context) {
    this.context = context;
    this.path = tenantPath(context.tenant, "trainings");
    this.file = null;
    this.suggestedTask = "";
    this.rejected = null;
    this.start = selectField({
      label: "Start from",
      options: STARTS,
      value: STARTS.some(([name]) => name === context.query.get("start"))
        ? context.query.get("start")
        : "file",
      onchange: () => this.showParts(),
    });
    this.rows = fileField({
      label: "Labeled file",
      hint: "CSV, TSV, JSON, JSONL, CoNLL or Parquet. Each row has a text and a label. Drop the file here, or choose it.",
      accept: SUFFIXES,
      choose: (file) => this.take(file),
    });
    this.labels = areaField({
      label: "Labels",
      hint: "One in each line. A colon and a description of the label may follow its name.",
    });
    this.task = textField({
      label: "Task",
      required: true,
      spellcheck: "false",
      value: context.query.get("task") ?? "",
      hint: "The name of the endpoint. A new version is published if the task exists.",
    });
    this.settings = trainingSettings({ accept: SUFFIXES });
    this.check = rowCheck(context, { columns: this.settings.columns });
    this.about = h(
      "p",
      { class: "hint" },
      "Without rows, the server computes the task from the names of its labels within seconds. Add rows later.",
    );
    const fields = [
      this.start,
      this.rows,
      this.labels,
      this.about,
      this.task,
      this.settings.element,
    ];
    const start = form({
      label: "Start a training",
      fields,
      action: "Train",
      submit: () => this.submit(),
    });
    this.element = h("div", {}, start, this.check.element);
    this.showParts();
  }

  showParts() {
    const start = this.start.value;
    this.rows.hidden = start !== "file";
    this.check.element.hidden = start !== "file";
    this.labels.hidden = this.about.hidden = start !== "labels";
    setQuery({ start: start === "file" ? "" : start });
  }

  take(file) {
    this.file = file;
    if (this.task.value === this.suggestedTask)
      this.task.value = this.suggestedTask = taskNameOf(file.name);
    if (/\.(conll|txt)$/i.test(file.name)) this.settings.chooseTaskType("token_classification");
    this.checkRows();
  }

  async checkRows() {
    this.rejected = null;
    const retry = () => this.checkRows();
    let fields = null;
    const check = () => {
      fields = this.fields();
      return this.context.api.upload(`${this.path}?dry_run=true`, fields);
    };
    const found = await this.check.run(this.file, check, retry);
    if (found?.error) this.rejected = fields;
  }

  /** Return whether the check has rejected the same file with the same settings. */
  isRejected({ file, config }) {
    return this.rejected !== null && file === this.rejected.file && config === this.rejected.config;
  }

  fields() {
    const start = this.start.value;
    const { config, unlabeled, margin, alias } = this.settings.values();
    const labels = start === "labels" ? labelsOf(this.labels.value) : {};
    return {
      file: start === "file" ? this.file : null,
      unlabeled: start === "labels" ? null : unlabeled,
      task: this.task.value.trim(),
      feedback: start === "feedback" ? "only" : null,
      config: text({ ...config, ...labels }),
      margin,
      alias,
    };
  }

  async submit() {
    if (this.start.value === "file" && this.file === null) {
      throw new InputError(
        "No file is chosen",
        "Expected a labeled file. Drop one, or start from names of labels.",
      );
    }
    const fields = this.fields();
    let started;
    const run = async () => {
      started = await this.context.api.upload(this.path, fields);
    };
    if (!this.isRejected(fields)) await run();
    else if (!(await confirmRejected(fields.file, run))) return;
    this.context.navigate(linkTo("trainings", this.context.tenant, started.id));
  }
}

/** Ask before a training that would fail. */
function confirmRejected(file, run) {
  return confirmDialog({
    title: "Train although the check failed?",
    content: h(
      "p",
      {},
      `The server rejected ${file.name}, so the training would fail for the same reason. Correct the file, or change the settings and check again.`,
    ),
    action: "Train anyway",
    isDangerous: true,
    run,
  });
}

/** Make a valid name from that of a file: `Customer mails.csv` becomes `customer-mails`. */
function taskNameOf(filename) {
  const name = filename
    .replace(/\.[^.]*$/, "")
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-");
  return name.replace(/^-+|-+$/g, "").slice(0, 63);
}

function labelsOf(lines) {
  const pairs = lines
    .split("\n")
    .map((line) => line.split(":").map((part) => part.trim()))
    .filter(([name]) => name !== "");
  const described = pairs.filter(([, ...rest]) => rest.join(":") !== "");
  const descriptions = Object.fromEntries(
    described.map(([name, ...rest]) => [name, rest.join(": ")]),
  );
  const labels = pairs.map(([name]) => name);
  return described.length > 0 ? { labels, label_descriptions: descriptions } : { labels };
}

function text(config) {
  return Object.keys(config).length === 0 ? null : JSON.stringify(config);
}
