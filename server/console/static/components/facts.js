/** Times, numbers and states as text. */

import { h } from "./dom.js";

const MOMENT = new Intl.DateTimeFormat("en-CA", {
  dateStyle: "short",
  timeStyle: "short",
  hourCycle: "h23",
  timeZone: "UTC",
});

/** Show a time of the API in UTC; a word where there is none. */
export function moment(text, missing = "never") {
  if (!text) return h("span", { class: "hint" }, missing);
  return h("time", { datetime: text }, `${MOMENT.format(new Date(text)).replace(",", "")} UTC`);
}

export const DAY_MS = 86_400_000;

/** Return the time of so many days ago, as the API takes it. */
export function daysAgo(days) {
  return new Date(Date.now() - days * DAY_MS).toISOString();
}

/** Write a number with separators, and at most three decimals. */
export function number(value) {
  return value === null || value === undefined
    ? "none"
    : value.toLocaleString("en", { maximumFractionDigits: 3 });
}

/** Write a metric, always with three decimals: 1 could be a number of rows. */
export function metric(value) {
  return value === null || value === undefined
    ? "none"
    : value.toLocaleString("en", { minimumFractionDigits: 3, maximumFractionDigits: 3 });
}

const TONES = {
  active: "good",
  valid: "good",
  succeeded: "good",
  suspended: "bad",
  deleted: "bad",
  revoked: "bad",
  expired: "bad",
  failed: "bad",
};

/** Show the state of a tenant, a key or a training, in its color. */
export function stateTag(state) {
  return tag(state, TONES[state]);
}

/** List pairs of a name and its value. Pairs without a value are omitted. */
export function factList(pairs) {
  const known = pairs.filter(([, value]) => value !== undefined && value !== null);
  return h(
    "dl",
    {},
    known.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]),
  );
}

/** Show a short text as a tag; `tone` is `good` or `bad`. */
export function tag(text, tone = "") {
  return h("span", { class: `tag ${tone}`.trim() }, text);
}
