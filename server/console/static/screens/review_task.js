/** The review of one task: uncertain answers first, labeled with the keyboard. */

import { fill, h } from "../components/dom.js";
import { errorBox } from "../components/errors.js";
import { number } from "../components/facts.js";
import { tenantPath, withQuery } from "../shell/api.js";
import { linkTo } from "../shell/router.js";
import { answerChoices } from "./review_answers.js";
import { inputOf, recordedAnswer } from "./review_item.js";

const MAX_ITEMS = 300;

export const title = ({ tenant, task }) => `Review of ${tenant}/${task}`;

export async function render(context) {
  const { tenant, task } = context.params;
  const base = tenantPath(tenant, "prefixes", task);
  const items = await context.api.all(`${base}/review?limit=100`, "items", { maximum: MAX_ITEMS });
  const labels = items.length === 0 ? [] : await labelsOf(context, base, items[0]);
  return new ReviewScreen(context, items, labels).element;
}

async function labelsOf(context, base, item) {
  const version = item.model.slice(item.model.lastIndexOf("@") + 1);
  const { spec } = await context.api.get(`${base}/versions/${version}`);
  return spec.labels ?? [];
}

class ReviewScreen {
  constructor(context, items, labels) {
    this.context = context;
    this.items = items;
    this.labels = labels;
    this.place = 0;
    this.labeled = new Set();
    this.past = [];
    this.isBusy = false;
    this.status = h("p", { role: "status", "aria-live": "polite" });
    this.problem = h("div");
    // The keys work only while the focus is inside, so that they disturb no screen reader.
    this.card = h("section", {
      class: "card review",
      tabindex: "0",
      "aria-label": "Answer to review",
      onkeydown: (event) => this.press(event),
    });
    this.element = h("div", {}, this.notes(), this.status, this.card, this.problem, this.footer());
    this.draw();
    if (items.length > 0) setTimeout(() => this.card.isConnected && this.card.focus(), 0);
  }

  notes() {
    const isOperator = this.context.session.isOperator;
    return (
      isOperator &&
      h(
        "p",
        { class: "error" },
        "An operator's key can read this list, but not label it. Sign in with a key of the tenant.",
      )
    );
  }

  footer() {
    const { tenant, task } = this.context.params;
    const href = withQuery(linkTo("trainings", tenant), { start: "feedback", task });
    return h(
      "p",
      { class: "actions" },
      h("a", { class: "button", href }, "Train with the feedback"),
      h("a", { class: "button", href: linkTo("review", tenant) }, "Other tasks"),
    );
  }

  get item() {
    return this.items[this.place];
  }

  draw() {
    const { items, place, labeled, item } = this;
    const left = items.length - place;
    this.status.textContent =
      items.length === 0
        ? ""
        : `${number(labeled.size)} labeled, ${number(place - labeled.size)} skipped, ${number(left)} left.`;
    if (item === undefined) {
      this.choices = null;
      fill(
        this.card,
        items.length === 0
          ? nothing()
          : h("p", {}, "Done: no answer is left. Train with the feedback, or undo the last step."),
        this.buttons(),
      );
      return;
    }
    this.choices = answerChoices(item, this.labels, (answer) => this.give(answer));
    fill(this.card, inputOf(item), recordedAnswer(item), this.choices.element, this.buttons());
  }

  buttons() {
    const { item, past } = this;
    if (this.items.length === 0) return null;
    return h(
      "p",
      { class: "actions" },
      item !== undefined && h("button", { type: "button", onclick: () => this.skip() }, "Skip (S)"),
      h(
        "button",
        { type: "button", disabled: past.length === 0, onclick: () => this.undo() },
        "Undo (U)",
      ),
    );
  }

  press(event) {
    const isTyping = ["INPUT", "SELECT", "TEXTAREA"].includes(event.target.tagName);
    if (isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
    const key = event.key.toLowerCase();
    const run = this.choices?.keys.get(key) ?? { s: () => this.skip(), u: () => this.undo() }[key];
    if (run === undefined || (key === "s" && this.item === undefined)) return;
    event.preventDefault();
    run();
  }

  give(answer) {
    return this.change(async () => {
      await this.send(this.item, { ...answer, is_review: true });
      this.labeled.add(this.place);
      this.go(this.place + 1);
    });
  }

  send({ request_id, index }, members) {
    return this.context.api.post("/v1/feedback", { request_id, index, ...members });
  }

  /** Run a change of the server, one at a time. An error is shown, and the screen stays. */
  async change(run) {
    if (this.isBusy) return;
    this.isBusy = true;
    try {
      await run();
      fill(this.problem);
    } catch (error) {
      if (!this.context.signal.aborted) fill(this.problem, errorBox(error));
    } finally {
      this.isBusy = false;
    }
  }

  skip() {
    this.go(this.place + 1);
  }

  /** Go back one step, and retract the label that was given in it. */
  undo() {
    if (this.past.length === 0) return;
    return this.change(async () => {
      const before = this.past.at(-1);
      if (this.labeled.has(before)) await this.retract(this.items[before]);
      this.labeled.delete(before);
      this.past.pop();
      this.place = before;
      this.draw();
      this.card.focus();
    });
  }

  /** Retract a label. The feedback that it had replaced is sent again. */
  async retract(item) {
    const { request_id: id, index, feedback } = item;
    await this.context.api.delete(withQuery(`/v1/feedback/${encodeURIComponent(id)}`, { index }));
    if (feedback !== null) await this.send(item, feedback);
  }

  go(place) {
    this.past.push(this.place);
    this.place = place;
    this.draw();
    this.card.focus();
  }
}

function nothing() {
  return [
    h(
      "p",
      { class: "empty" },
      "Nothing to review: no answer of this task is recorded, or all of them are labeled.",
    ),
    h(
      "p",
      {},
      "Answers are recorded once an admin of the tenant has enabled it on the screen Review, for requests with a key of the tenant.",
    ),
  ];
}
