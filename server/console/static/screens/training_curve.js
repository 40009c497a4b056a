/** The learning curve: losses and the metric at each evaluation. */

import { lineChart } from "../components/charts.js";
import { fill, h } from "../components/dom.js";
import { number } from "../components/facts.js";
import { table } from "../components/table.js";

/** Collects evaluations as they arrive, and draws them. */
export class Curve {
  constructor() {
    this.evaluations = new Map();
    this.losses = new Map();
    this.metric = null;
    this.teacher = null;
    this.element = h("section", { class: "card", "aria-label": "Learning curve", hidden: true });
  }

  /** Add what an event reports: the current step, and the latest evaluation. */
  add({ step, loss, metric, latest, teacher }) {
    this.metric = metric;
    this.teacher = teacher ?? null;
    if (Number.isFinite(loss)) this.losses.set(step, loss);
    if (latest !== null) this.evaluations.set(latest.step, latest);
    this.draw();
  }

  /** Replace the evaluations with those of the report. */
  setHistory({ history, config, teacher }) {
    if (!history) return;
    this.metric = config.select_by ?? this.metric ?? Object.keys(history[0]?.metrics ?? {})[0];
    this.teacher = teacher?.validation[this.metric] ?? null;
    this.evaluations = new Map(history.map((evaluation) => [evaluation.step, evaluation]));
    this.draw();
  }

  draw() {
    const found = [...this.evaluations.values()];
    this.element.hidden = found.length + this.losses.size === 0;
    if (this.element.hidden) return;
    fill(
      this.element,
      h("h2", {}, "Learning curve"),
      found.length > 1 ? this.charts(found) : this.stepChart(),
    );
  }

  /** One evaluation makes no line yet. */
  stepChart() {
    return lineChart({
      label: "Loss of each reported step, before the second evaluation",
      series: [{ name: "loss", values: [...this.losses.values()] }],
    });
  }

  charts(found) {
    const { metric, teacher } = this;
    return [
      h(
        "div",
        { class: "columns" },
        lineChart({
          label: "Loss at each evaluation, lower is better",
          series: [
            { name: "training", values: found.map((one) => one.train_loss) },
            { name: "validation", values: found.map((one) => one.loss) },
          ],
        }),
        lineChart({
          label: `${metric} of the validation rows, higher is better`,
          series: [{ name: metric, values: found.map((one) => one.metrics[metric] ?? Number.NaN) }],
        }),
      ),
      teacher !== null && h("p", {}, `The teacher reached a ${metric} of ${number(teacher)}.`),
      h("details", {}, h("summary", {}, "Figures"), evaluationTable(found, metric)),
    ];
  }
}

function evaluationTable(found, metric) {
  return table({
    caption: "Evaluations",
    rows: found,
    columns: [
      { label: "Step", value: ({ step }) => number(step), isNumeric: true },
      { label: "Training loss", value: (one) => number(one.train_loss), isNumeric: true },
      { label: "Validation loss", value: ({ loss }) => number(loss), isNumeric: true },
      { label: metric, value: ({ metrics }) => number(metrics[metric]), isNumeric: true },
    ],
  });
}
