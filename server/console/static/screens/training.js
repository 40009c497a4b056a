/** One training: its progress and learning curve while it runs, then its result and figures. */

import { fill, h } from "../components/dom.js";
import { confirmDialog } from "../components/dialog.js";
import { errorBox } from "../components/errors.js";
import { factList, moment, number, stateTag, tag } from "../components/facts.js";
import { toast } from "../components/toast.js";
import { tenantPath, urlOf } from "../shell/api.js";
import { linkTo } from "../shell/router.js";
import { playgroundLink, taskName } from "./task_types.js";
import { warningList } from "./training_check.js";
import { Curve } from "./training_curve.js";
import { reportOf } from "./training_report.js";

const ENDED = ["succeeded", "failed", "cancelled"];
const PROGRESS = { teacher: "The teacher learns: step", answers: "The teacher answers: row" };

export const title = ({ tenant }) => `Training of ${tenant}`;

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
    await this.draw(await this.context.api.get(this.path));
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
    this.bar?.replaceWith((this.bar = progressBar(progress)));
  }

  async draw(training) {
    const { state, task, alias, progress, warnings, data_summary: summary } = training;
    this.bar = state === "running" ? progressBar(progress) : null;
    fill(
      this.status,
      factList(facts(training)),
      this.bar,
      !ENDED.includes(state) && this.cancelButton(training),
      training.error !== null && errorBox({ problem: training.error }),
    );
    this.drawRows({ summary, warnings: training.result?.warnings ?? warnings });
    fill(this.result, training.result && this.resultCard(training, task, alias));
    if (state === "succeeded") await this.drawReport();
  }

  /** Draw how the rows were read, and the warnings about them. Events have one of both. */
  drawRows(known) {
    this.rows = { ...this.rows, ...known };
    const { summary = [], warnings = [] } = this.rows;
    const isRead = summary.length > 0;
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

  resultCard(training, task, alias) {
    const { result, tenant } = training;
    const { version, ref } = result;
    return h(
      "section",
      { class: "card", "aria-label": "Result" },
      h(
        "h2",
        {},
        `Version ${version} `,
        result.is_promoted ? tag(`${alias} now`, "good") : tag("published, not promoted"),
      ),
      h("p", {}, result.reason),
      result.new !== null &&
        h(
          "p",
          {},
          `${result.metric}: `,
          h("b", {}, number(result.new)),
          result.live === null ? "" : ` (version ${result.live_version}: ${number(result.live)})`,
          ` on ${result.num_rows} rows.`,
        ),
      h(
        "p",
        { class: "actions" },
        h("a", { class: "button", href: playgroundLink(ref) }, "Open in the playground"),
        h("a", { class: "button", href: linkTo("tasks", tenant, task) }, "Show the task"),
        !result.is_promoted &&
          h(
            "button",
            { type: "button", class: "primary", onclick: () => this.promote(training) },
            `Promote version ${version}`,
          ),
      ),
    );
  }

  async promote({ tenant, task, alias, result }) {
    const path = tenantPath(tenant, "prefixes", task, "aliases", alias);
    const run = () => this.context.api.put(path, { version: result.version });
    const isDone = await confirmDialog({
      title: `Promote version ${result.version}?`,
      content: `The alias ${alias} of ${task} then points to version ${result.version}. You can roll it back.`,
      action: `Promote version ${result.version}`,
      run,
    });
    if (isDone) toast(`${alias} points to version ${result.version}.`);
  }
}

function taskLink(training) {
  const { tenant, task } = training;
  return h("a", { href: linkTo("tasks", tenant, task) }, taskName(training));
}

function facts(training) {
  const { id, state, created_at: created, started_at: started, ended_at: ended } = training;
  return [
    ["State", stateTag(state)],
    ["Task", taskLink(training)],
    ["Id", h("code", {}, id)],
    ["Queued", moment(created)],
    ["Started", started && moment(started)],
    ["Ended", ended && moment(ended)],
  ];
}

function progressBar(progress) {
  if (progress === null)
    return h("p", { role: "status" }, "The training process starts. This takes a few seconds.");
  const { phase, step, total_steps: total } = progress;
  return h(
    "p",
    {},
    h("progress", { max: String(total), value: String(step), "aria-label": "Steps" }),
    ` ${PROGRESS[phase] ?? "Step"} ${step} of at most ${total}`,
  );
}
