/** Usage of tenants, by hour and task. Operators see all tenants. */

import { barChart, lineChart } from "../components/charts.js";
import { fill, h } from "../components/dom.js";
import { selectField, textField } from "../components/fields.js";
import { filterForm, filterValues, queryOf } from "../components/filters.js";
import { DAY_MS, daysAgo, moment, number } from "../components/facts.js";
import { table } from "../components/table.js";
import { tenantPath, urlOf, withQuery } from "../shell/api.js";
import { setQuery } from "../shell/router.js";

const FIGURES = [
  ["requests", "Requests"],
  ["texts", "Texts"],
  ["tokens", "Tokens"],
  ["device_seconds", "Device seconds"],
  ["training_cpu_seconds", "CPU seconds of trainings"],
];
const HOUR_MS = 3_600_000;
const MAX_ROWS = 5000;
const MAX_BARS = 12;

export const title = ({ tenant }) => (tenant ? `Usage of ${tenant}` : "Usage");

export async function render(context) {
  const screen = new UsageScreen(context);
  await screen.show();
  return screen.element;
}

class UsageScreen {
  constructor(context) {
    this.context = context;
    const { tenant } = context;
    this.path = tenant === null ? "/v1/usage" : tenantPath(tenant, "usage");
    this.fields = {
      ...(tenant === null ? { tenant: textField({ label: "Tenant", spellcheck: "false" }) } : {}),
      task: textField({ label: "Task", spellcheck: "false", hint: "Such as acme/spam." }),
      since: textField({ label: "From (UTC)", type: "date" }),
      until: textField({ label: "Until, exclusive (UTC)", type: "date" }),
    };
    this.figure = selectField({
      label: "Chart",
      options: FIGURES,
      value: context.query.get("chart") ?? "requests",
      onchange: () => this.draw(),
    });
    this.rows = [];
    this.charts = h("div");
    this.list = h("div");
    this.element = h(
      "div",
      {},
      h(
        "section",
        { class: "card" },
        filterForm(context, this.fields, () => this.show()),
      ),
      this.charts,
      this.list,
    );
  }

  get query() {
    const query = queryOf(filterValues(this.fields));
    return { ...query, since: query.since || daysAgo(7) };
  }

  async show() {
    this.rows = await this.context.api.all(
      withQuery(this.path, { ...this.query, limit: 1000 }),
      "usage",
      { maximum: MAX_ROWS },
    );
    this.draw();
  }

  draw() {
    const { rows } = this;
    const name = this.figure.value;
    const label = FIGURES.find(([one]) => one === name)[1];
    setQuery({ chart: name === "requests" ? "" : name });
    const download = urlOf(withQuery(`${this.path}/export`, this.query));
    fill(
      this.charts,
      h(
        "p",
        { class: "actions" },
        h("a", { class: "button", href: download, download: "usage.csv" }, "Download all as CSV"),
      ),
      rows.length > 0 &&
        h(
          "section",
          { class: "card", "aria-label": "Chart" },
          this.figure,
          byTime(rows, name, label),
          h("h3", {}, `${label} by task`),
          byTask(rows, name),
        ),
    );
    fill(this.list, usageTable(rows.toReversed()));
  }
}

/** Draw sums by hour, or by day where the rows span more than three days. */
function byTime(rows, name, label) {
  const times = rows.map(({ hour }) => Date.parse(hour));
  const first = Math.min(...times);
  const span = Math.max(...times) - first;
  const isDaily = span > 3 * DAY_MS;
  const step = isDaily ? DAY_MS : HOUR_MS;
  const start = Math.floor(first / step);
  const sums = new Array(Math.floor((first + span) / step) - start + 1).fill(0);
  for (const [index, row] of rows.entries())
    sums[Math.floor(times[index] / step) - start] += row[name];
  return lineChart({
    label: `${label} by ${isDaily ? "day" : "hour"}`,
    series: [{ name: label, values: sums }],
    format: number,
  });
}

function byTask(rows, name) {
  const sums = new Map();
  for (const row of rows) sums.set(row.task, (sums.get(row.task) ?? 0) + row[name]);
  const sorted = [...sums].toSorted((one, other) => other[1] - one[1]).slice(0, MAX_BARS);
  return barChart(
    sorted.map(([task, sum]) => ({ label: task, value: sum, text: number(sum) })),
    Math.max(...sorted.map(([, sum]) => sum)),
  );
}

function usageTable(rows) {
  return table({
    caption: "Usage by hour, latest first",
    rows,
    empty: "No usage in this time. Counts appear up to a minute after the requests.",
    columns: [
      { label: "Hour", value: ({ hour }) => moment(hour) },
      { label: "Tenant", value: ({ tenant }) => tenant ?? "none" },
      { label: "Task", value: ({ task }) => task },
      ...FIGURES.map(([name, label]) => ({
        label,
        value: (row) => number(row[name]),
        isNumeric: true,
      })),
    ],
  });
}
