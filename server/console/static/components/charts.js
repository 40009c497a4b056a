/** Charts in SVG. Each is an image with a text that says the same, for screen readers. */

import { h, svg } from "./dom.js";

const WIDTH = 320;
const HEIGHT = 96;
const DASHES = [null, "6 3", "2 3"];

/**
 * Create bars with their labels and values.
 *
 * @param {{label: any, value: number, text?: string, isBest?: boolean}[]} bars values 0 to `max`
 * @param {number} [max] the value of a full bar
 */
export function barChart(bars, max = 1) {
  return h(
    "ul",
    { class: "bars" },
    bars.map((bar) => barOf(bar, max)),
  );
}

function barOf({ label, value, text = value.toFixed(3), isBest = false }, max) {
  const percent = max > 0 ? Math.max(0, Math.min(100, (100 * value) / max)) : 0;
  return h(
    "li",
    { class: isBest && "best" },
    h("span", { class: "bar-label" }, label),
    svg(
      "svg",
      { class: "bar", "aria-hidden": "true", focusable: "false" },
      svg("rect", { class: "bar-track", width: "100%", height: "100%" }),
      svg("rect", { class: "bar-value", width: `${percent}%`, height: "100%" }),
    ),
    h("span", { class: "bar-text" }, text),
  );
}

/**
 * Create a chart of lines over time. All series share the axes, which begin at zero.
 *
 * @param {object} options
 * @param {string} options.label what is drawn, with its unit
 * @param {{name: string, values: number[]}[]} options.series at most three
 * @param {(value: number) => string} [options.format]
 */
export function lineChart({ label, series, format = (value) => value.toPrecision(3) }) {
  const all = series.flatMap(({ values }) => values).filter(Number.isFinite);
  const max = Math.max(...all, 0) || 1;
  const maximum = all.length > 0 && format(max);
  const latest = series.map(({ name, values }) => `${name}: ${lastOf(values, format)}`).join(", ");
  return h(
    "figure",
    { class: "chart" },
    h("figcaption", {}, label),
    svg(
      "svg",
      {
        viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
        role: "img",
        "aria-label": `${label}. Latest ${latest}.${maximum ? ` Maximum ${maximum}.` : ""}`,
        preserveAspectRatio: "none",
      },
      [0.25, 0.5, 0.75].map((part) =>
        svg("line", { class: "grid", x1: 0, x2: WIDTH, y1: HEIGHT * part, y2: HEIGHT * part }),
      ),
      series.map(({ values }, index) => lineOf(values, max, index)),
    ),
    h(
      "p",
      { class: "legend" },
      series.map(({ name, values }, index) =>
        h("span", { class: `key-${index}` }, `${name} `, h("b", {}, lastOf(values, format))),
      ),
      maximum && h("span", {}, `max ${maximum}`),
    ),
  );
}

function lineOf(values, max, index) {
  const step = values.length > 1 ? WIDTH / (values.length - 1) : WIDTH;
  const points = values
    .map((value, place) => [place * step, HEIGHT - 2 - ((HEIGHT - 4) * value) / max])
    .filter(([, y]) => Number.isFinite(y))
    .map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`);
  return svg("polyline", {
    class: `line line-${index}`,
    points: points.join(" "),
    "stroke-dasharray": DASHES[index],
  });
}

function lastOf(values, format) {
  const last = values.at(-1);
  return last === undefined || !Number.isFinite(last) ? "none" : format(last);
}
