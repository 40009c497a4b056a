/** The audit log: who changed what, newest first. */

import { barChart } from "../components/charts.js";
import { fill, h } from "../components/dom.js";
import { textField } from "../components/fields.js";
import { filterForm, filterValues, queryOf } from "../components/filters.js";
import { moment, number } from "../components/facts.js";
import { table } from "../components/table.js";
import { urlOf, withQuery } from "../shell/api.js";

const PATH = "/v1/audit";
const MAX_BARS = 12;

export const title = () => "Audit log";

export async function render(context) {
  const screen = new AuditScreen(context);
  await screen.show();
  return screen.element;
}

class AuditScreen {
  constructor(context) {
    this.context = context;
    this.fields = {
      ...(context.session.isOperator
        ? { tenant: textField({ label: "Tenant", spellcheck: "false" }) }
        : {}),
      action: textField({
        label: "Action",
        spellcheck: "false",
        hint: "Such as alias.move or key.issue.",
      }),
      object: textField({ label: "Object", spellcheck: "false", hint: "Such as acme/spam:live." }),
      key_id: textField({
        label: "Key",
        spellcheck: "false",
        hint: "The id of the key that made the change.",
      }),
      since: textField({ label: "From (UTC)", type: "date" }),
      until: textField({ label: "Until, exclusive (UTC)", type: "date" }),
    };
    this.events = [];
    this.next = null;
    this.list = h("div", { "aria-live": "polite" });
    this.element = h(
      "div",
      {},
      h(
        "section",
        { class: "card" },
        filterForm(context, this.fields, () => this.show()),
      ),
      this.list,
    );
  }

  async show() {
    this.events = [];
    await this.load(withQuery(PATH, queryOf(filterValues(this.fields))));
  }

  async load(path) {
    const page = await this.context.api.get(path);
    this.events.push(...page.events);
    this.next = page.next;
    this.draw();
  }

  draw() {
    const { events, next } = this;
    const download = urlOf(withQuery(`${PATH}/export`, queryOf(filterValues(this.fields))));
    fill(
      this.list,
      h(
        "p",
        { class: "actions" },
        h("a", { class: "button", href: download, download: "audit.csv" }, "Download all as CSV"),
      ),
      events.length > 0 && actionChart(events),
      table({
        caption: `Events, newest first (${number(events.length)}${next ? " so far" : ""})`,
        rows: events,
        empty: "No event matches the filter.",
        columns: [
          { label: "Time", value: ({ at }) => moment(at) },
          {
            label: "Actor",
            value: (event) => [
              event.actor,
              event.key_id &&
                !event.actor.includes(event.key_id) &&
                h("span", { class: "hint" }, ` key ${event.key_id}`),
            ],
          },
          { label: "Action", value: ({ action }) => h("code", {}, action) },
          { label: "Object", value: ({ object }) => object },
          { label: "Tenant", value: ({ tenant }) => tenant ?? "" },
          { label: "Change", value: changeOf },
        ],
      }),
      next &&
        h(
          "p",
          {},
          h("button", { type: "button", onclick: () => this.load(next) }, "Load more events"),
        ),
    );
  }
}

function actionChart(events) {
  const counts = new Map();
  for (const { action } of events) counts.set(action, (counts.get(action) ?? 0) + 1);
  const sorted = [...counts].toSorted((one, other) => other[1] - one[1]).slice(0, MAX_BARS);
  const bars = sorted.map(([action, count]) => ({
    label: action,
    value: count,
    text: number(count),
  }));
  return h(
    "section",
    { class: "card", "aria-label": "Actions" },
    h("h2", {}, "Actions of these events"),
    barChart(bars, sorted[0][1]),
  );
}

function changeOf({ before, after }) {
  const lines = [
    ["before", before],
    ["after", after],
  ].filter(([, fields]) => fields !== null);
  return lines.map(([name, fields]) =>
    h(
      "div",
      { class: "changes" },
      h("span", { class: "hint" }, `${name}: `),
      h("code", {}, JSON.stringify(fields)),
    ),
  );
}
