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

/** Write a number with separators, and at most three decimals. */
export function number(value) {
  return value === null || value === undefined
    ? "none"
    : value.toLocaleString("en", { maximumFractionDigits: 3 });
}

/** Show a word about a state as a tag; `tone` is `good` or `bad`. */
export function tag(text, tone = "") {
  return h("span", { class: `tag ${tone}`.trim() }, text);
}
