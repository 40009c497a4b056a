/** How far a training is: its steps, and the time that it has waited or run. */

import { fill, h } from "../components/dom.js";

const SLOW_SECONDS = 20;
const STEPS = { teacher: "The teacher learns: step", answers: "The teacher answers: row" };
const LEAVE = "You can leave this page: the training continues.";
const MESSAGES = {
  queued: {
    usual: "The training is queued.",
    slow: `The training is still queued: other trainings run first, or the server is busy. ${LEAVE}`,
  },
  running: {
    usual: "The training process starts. This takes a few seconds.",
    slow: `The training process is still starting, because the machine is busy. ${LEAVE}`,
  },
};

/** The progress of one training, whose time is updated every second. */
export class TrainingProgress {
  constructor(context) {
    this.message = h("span", { role: "status" });
    this.bar = h("p");
    // Outside the status: a screen reader would announce each second.
    this.time = h("span", { class: "hint" });
    this.element = h("div", {}, this.bar, h("p", {}, this.message, " ", this.time));
    context.every(1, () => this.draw());
  }

  /** Take the state of the training. */
  update(training) {
    this.training = training;
    this.step(training.progress);
  }

  /** Take the latest progress; null before the first step. */
  step(progress) {
    this.progress = progress;
    this.draw();
  }

  draw() {
    const { state, created_at: created, started_at: started } = this.training ?? {};
    this.element.hidden = !(state in MESSAGES);
    if (this.element.hidden) return;
    const seconds = secondsSince(state === "queued" ? created : started);
    const hasSteps = this.progress !== null && state === "running";
    this.bar.hidden = !hasSteps;
    fill(this.bar, hasSteps && barOf(this.progress));
    const { usual, slow } = MESSAGES[state];
    const message = hasSteps ? "" : seconds < SLOW_SECONDS ? usual : slow;
    if (this.message.textContent !== message) this.message.textContent = message;
    this.time.textContent = `${state === "queued" ? "Waiting for" : "Running for"} ${duration(seconds)}`;
  }
}

function barOf({ phase, step, total_steps: total }) {
  return [
    h("progress", { max: String(total), value: String(step), "aria-label": "Steps" }),
    ` ${STEPS[phase] ?? "Step"} ${step} of at most ${total}`,
  ];
}

/** The clocks of the server and of the browser may differ. */
function secondsSince(text) {
  return text ? Math.max(0, Math.floor((Date.now() - Date.parse(text)) / 1000)) : 0;
}

/** Write seconds as `45 s`, `3 min 5 s` or `2 h 10 min`. */
export function duration(seconds) {
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${seconds % 60} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
