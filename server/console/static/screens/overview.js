/** The overview: what the server does now, drawn from its metrics every two seconds. */

import { barChart, lineChart } from "../components/charts.js";
import { fill, h } from "../components/dom.js";
import { errorBox } from "../components/errors.js";
import { factList, number, tag } from "../components/facts.js";
import { form, textField } from "../components/fields.js";
import { urlOf } from "../shell/api.js";
import { firstTask } from "./first_task.js";
import { Interval, Samples } from "./metrics.js";

const SECONDS = 2;
const NUM_POINTS = 60;
const MIB = 2 ** 20;
/** Requests that run prefixes. Those of the console itself would hide them. */
const INFERENCE =
  /^\/(v1\/(classify|token-classification|question-answering|multiple-choice|predict|embeddings)|models\/|predict|embed|classify|label-studio\/.*predict)/;
const isInference = ({ route }) => INFERENCE.test(route ?? "");

export const title = () => "Overview";

export async function render(context) {
  const [server, live] = [await context.api.get("/"), new Live(context)];
  await live.start();
  return [
    h(
      "p",
      {},
      "Version ",
      h("b", {}, server.version),
      ", backbone ",
      h("b", {}, server.backbone),
      ". ",
      h("a", { href: urlOf("/docs") }, "API documentation"),
    ),
    h("div", { "aria-live": "polite" }, await readiness(context)),
    await firstTask(context),
    live.element,
  ];
}

async function readiness({ api }) {
  try {
    const { warnings = [] } = await api.get("/readyz");
    return [
      h("p", {}, tag("ready", "good"), " The server accepts requests."),
      warnings.map((warning) => h("p", { class: "error" }, warning)),
    ];
  } catch (error) {
    return errorBox(error);
  }
}

/** The figures and charts, and the points that they draw. */
class Live {
  constructor(context) {
    this.context = context;
    this.points = [];
    this.element = h("div");
    this.headers = {};
  }

  async start() {
    try {
      await this.begin();
    } catch (error) {
      if (error.status !== 401) throw error;
      fill(this.element, this.keyForm());
    }
  }

  async begin() {
    this.last = await this.scrape(this.context.api);
    this.draw();
    this.context.every(SECONDS, () => this.update());
  }

  async scrape(api) {
    return new Samples(await api.call("GET", "/metrics", { headers: this.headers }));
  }

  async update() {
    try {
      const samples = await this.scrape(this.context.background);
      this.points = [...this.points, pointOf(new Interval(this.last, samples))].slice(-NUM_POINTS);
      this.last = samples;
      this.draw();
    } catch (error) {
      if (error.name !== "AbortError") fill(this.element, errorBox(error));
    }
  }

  /** The operator may have set a key for the metrics alone. It stays in the memory of this page. */
  keyForm() {
    const key = textField({
      label: "Metrics key",
      type: "password",
      required: true,
      autocomplete: "off",
      hint: "The operator of this server has set POLYPREFIX_METRICS_KEY.",
    });
    const submit = async () => {
      this.headers = { Authorization: `Bearer ${key.value.trim()}` };
      await this.begin();
    };
    return form({ label: "Metrics key", fields: [key], action: "Show metrics", submit });
  }

  draw() {
    fill(
      this.element,
      figures(this.last, this.points.at(-1)),
      charts(this.points),
      residency(this.last),
    );
  }
}

function pointOf(interval) {
  const seconds = (share) =>
    interval.quantile("polyprefix_request_seconds", share, isInference) * 1000;
  return {
    requests: interval.rate("polyprefix_requests_total", isInference),
    texts: interval.rate("polyprefix_batch_rows_sum"),
    tokens: interval.rate("polyprefix_tokens_total"),
    median: seconds(0.5),
    p95: seconds(0.95),
    rows: interval.mean("polyprefix_batch_rows"),
    prefixes: interval.mean("polyprefix_batch_distinct_prefixes"),
  };
}

function figures(samples, point) {
  const since = new Interval(new Samples("", 0), samples);
  return h(
    "div",
    { class: "cards" },
    figure("Requests per second", point && point.requests.toFixed(1), "inference only"),
    figure(
      "Texts in flight",
      samples.sum("polyprefix_waiting_inputs").toFixed(0),
      "admitted and not yet answered",
    ),
    figure(
      "Distinct tasks per batch",
      shown(since.mean("polyprefix_batch_distinct_prefixes"), 2),
      "mean since the start",
    ),
    figure(
      "Texts per batch",
      shown(since.mean("polyprefix_batch_rows"), 2),
      "mean since the start",
    ),
    figure(
      "Median latency",
      milliseconds(since.quantile("polyprefix_request_seconds", 0.5, isInference) * 1000),
      "since the start",
    ),
    figure("Tokens", number(samples.sum("polyprefix_tokens_total")), "since the start"),
  );
}

function figure(label, value, hint) {
  return h(
    "section",
    { class: "card", "aria-label": label },
    h("div", {}, label),
    h("div", { class: "figure" }, value ?? "…"),
    h("div", { class: "hint" }, hint),
  );
}

function charts(points) {
  const series = (name) => points.map((point) => point[name]);
  const chart = (label, lines, format) =>
    h(
      "div",
      { class: "card" },
      lineChart({
        label,
        format,
        series: lines.map(([name, key]) => ({ name, values: series(key) })),
      }),
    );
  return h(
    "section",
    { "aria-label": "The last two minutes" },
    h("h2", {}, "The last two minutes"),
    h(
      "div",
      { class: "columns" },
      chart("Throughput, texts per second", [["texts", "texts"]], (value) => value.toFixed(1)),
      chart(
        "Latency of requests",
        [
          ["median", "median"],
          ["95 %", "p95"],
        ],
        milliseconds,
      ),
      chart(
        "Per batch",
        [
          ["texts", "rows"],
          ["distinct tasks", "prefixes"],
        ],
        (value) => value.toFixed(1),
      ),
      chart("Tokens per second", [["tokens", "tokens"]], (value) => number(Math.round(value))),
    ),
  );
}

function residency(samples) {
  const used = samples.sum("polyprefix_resident_bytes");
  const capacity = samples.sum("polyprefix_resident_capacity_bytes");
  const count = (name) => number(samples.sum(name));
  return h(
    "section",
    { class: "card", "aria-label": "Residency" },
    h("h2", {}, "Residency"),
    barChart(
      [
        {
          label: "Device memory for prefixes",
          value: used,
          text: `${capacity > 0 ? ((100 * used) / capacity).toFixed(0) : 0} %`,
        },
      ],
      capacity,
    ),
    h("p", { class: "hint" }, `${(used / MIB).toFixed(1)} of ${(capacity / MIB).toFixed(0)} MiB`),
    factList([
      ["Prefixes on the device", count("polyprefix_resident_prefixes")],
      ["Pinned", count("polyprefix_pinned_prefixes")],
      ["Evicted since the start", count("polyprefix_prefix_evictions_total")],
      ["In host memory", count("polyprefix_host_prefixes")],
    ]),
  );
}

function milliseconds(value) {
  return Number.isFinite(value) ? `${value.toFixed(1)} ms` : "none yet";
}

function shown(value, digits) {
  return Number.isFinite(value) ? value.toFixed(digits) : "none yet";
}
