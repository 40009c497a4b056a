/** One training: its progress and learning curve while it runs, then its result and figures. */

import { fill, h } from "../components/dom.js";
import { confirmDialog } from "../components/dialog.js";
import { errorBox } from "../components/errors.js";
import { factList, moment, stateTag } from "../components/facts.js";
import { tenantPath, urlOf, withQuery } from "../shell/api.js";
import { linkTo } from "../shell/router.js";
import { findTask, taskName } from "./task_types.js";
import { warningList } from "./training_check.js";
import { Curve } from "./training_curve.js";
import { rejectedRows } from "./training_problems.js";
import { TrainingProgress, duration } from "./training_progress.js";
import { reportOf } from "./training_report.js";
import { resultCard } from "./training_result.js";

const ENDED = ["succeeded", "failed", "cancelled"];

export const title = () => "Training";

export async function render(context) {
  const screen = new TrainingScreen(context);
  await screen.begin();
  return screen.element;
}

class TrainingScreen {
  constructor(context) {
    const { tenant, training } = context.params;
    this.context = context;
    this.path = tenantPath(tenant, "trainings", training);
    this.status = h("section", { class: "card", "aria-label": "State" });
    this.progress = new TrainingProgress(context);
    this.curve = new Curve();
    this.data = h("section", { class: "card", "aria-label": "Rows" });
    this.result = h("div");
    this.report = h("div");
    this.element = h(
      "div",
      {},
      this.status,
      this.result,
      this.curve.element,
      this.report,
      this.data,
    );
  }

  async begin() {
    const training = await this.context.api.get(this.path);
    this.context.setTitle(`Training of ${taskName(training)}`);
    await this.draw(training);
    this.follow();
  }

  /** Follow the events of the server. The browser resumes a broken stream where it was. */
  follow() {
    const path = `${this.path}/events`;
    this.context.api.onCall({ method: "GET", path });
    const events = new EventSource(urlOf(path));
    this.context.signal.addEventListener("abort", () => events.close());
    const on = (kind, take) =>
      events.addEventListener(kind, (event) => take(JSON.parse(event.data)));
    on("data_summary", ({ data_summary: summary }) => this.drawRows({ summary }));
    on("warnings", ({ warnings }) => this.drawRows({ warnings }));
    on("progress", (progress) => this.drawProgress(progress));
    on("evaluation", (progress) => this.drawProgress(progress));
    on("state", (training) => {
      if (ENDED.includes(training.state)) events.close();
      this.draw(training);
    });
  }

  drawProgress(progress) {
    // The curve is that of the prefix. Trainings of older releases have no other phase.
    if ((progress.phase ?? "prefix") === "prefix") this.curve.add(progress);
    this.progress.step(progress);
  }

  async draw(training) {
    const { warnings, data_summary: summary, result } = training;
    this.training = training;
    this.progress.update(training);
    this.drawState();
    this.drawRows({ summary, warnings: result?.warnings ?? warnings });
    await this.drawResult();
    if (training.state === "succeeded") await this.drawReport();
  }

  drawState() {
    const { training } = this;
    fill(
      this.status,
      factList(facts(training, this.entry)),
      this.progress.element,
      !ENDED.includes(training.state) && this.cancelButton(training),
      training.error !== null && failure(training),
    );
  }

  /** Read where the aliases of the task point now, and draw what depends on it. */
  async drawResult() {
    const { training, context } = this;
    const entry = await findTask(context.api, training).catch(() => undefined);
    if (this.training !== training) return; // a later event has drawn a later state
    const hasChanged = (this.entry === null) !== (entry === null);
    this.entry = entry;
    if (hasChanged) this.drawState();
    const changed = async () => {
      await this.drawResult();
      this.result.querySelector("a")?.focus(); // the button that had it is gone
    };
    fill(this.result, training.result && resultCard(context, training, entry, changed));
  }

  /** Draw how the rows were read, and the warnings about them. Events have one of both. */
  drawRows(known) {
    this.rows = { ...this.rows, ...known };
    const { summary = [], warnings = [] } = this.rows;
    const isRead = summary.length > 0;
    this.data.hidden = !isRead && warnings.length === 0 && ENDED.includes(this.training.state);
    fill(
      this.data,
      h("h2", {}, "Rows"),
      isRead
        ? h(
            "ul",
            {},
            summary.map((sentence) => h("li", {}, sentence)),
          )
        : h("p", { class: "empty" }, "The rows are not read yet."),
      (isRead || warnings.length > 0) && warningList(warnings),
    );
  }

  async drawReport() {
    if (this.report.hasChildNodes()) return;
    try {
      const report = await this.context.api.get(`${this.path}/report`);
      this.curve.setHistory(report);
      fill(this.report, reportOf(report));
    } catch (error) {
      if (error.code !== "nothing_to_show" && !this.context.signal.aborted)
        fill(this.report, errorBox(error));
    }
  }

  cancelButton(training) {
    const run = () => this.context.api.post(`${this.path}/cancel`);
    const ask = () =>
      confirmDialog({
        title: "Cancel this training?",
        content: "Its rows are deleted, and no version is published.",
        action: "Cancel the training",
        isDangerous: true,
        run,
      });
    const button = h(
      "button",
      { type: "button", onclick: ask, disabled: training.is_cancelling },
      "Cancel the training",
    );
    return h("p", { class: "actions" }, button);
  }
}

function taskLink(training) {
  const { tenant, task } = training;
  return h("a", { href: linkTo("tasks", tenant, task) }, taskName(training));
}

/** Show why a training failed. The rows are wrong, or the server says what to do. */
function failure(training) {
  const { tenant, task, error } = training;
  const again = withQuery(linkTo("trainings", tenant), { task });
  return [
    rejectedRows(error, { advice: "Correct these rows, then train again." }),
    h("p", { class: "actions" }, h("a", { class: "button", href: again }, "Train again")),
  ];
}

/** The task of a first training does not exist before its version is published. */
function facts(training, entry) {
  const { id, state, created_at: created, started_at: started, ended_at: ended } = training;
  const seconds = started && ended && Math.round((Date.parse(ended) - Date.parse(started)) / 1000);
  return [
    ["State", stateTag(state)],
    ["Task", entry === null ? taskName(training) : taskLink(training)],
    ["Id", h("code", {}, id)],
    ["Queued", moment(created)],
    ["Started", started && moment(started)],
    ["Ended", ended && moment(ended)],
    ["Duration", started && ended && duration(seconds)],
  ];
}
