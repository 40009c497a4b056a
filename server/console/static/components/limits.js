/** Limits of tenants and keys: as text, and a dialog that changes them. */

import { confirmDialog } from "./dialog.js";
import { h } from "./dom.js";
import { number } from "./facts.js";
import { textField } from "./fields.js";

/** Name and unit of each limit, in the order of the API. Keys have the first five. */
const LIMITS = [
  ["requests_per_second", "Requests per second", "requests/s"],
  ["tokens_per_second", "Tokens per second", "tokens/s"],
  ["max_in_flight_texts", "Texts in flight", "texts in flight"],
  ["management_requests_per_second", "Management requests per second", "management requests/s"],
  ["max_upload_bytes", "Bytes of an upload", "bytes per upload"],
  ["max_stored_bytes", "Stored bytes", "stored bytes"],
  ["max_prefixes", "Prefixes", "prefixes"],
  ["max_versions", "Versions", "versions"],
  ["max_queued_trainings", "Queued trainings", "queued trainings"],
  ["max_running_trainings", "Running trainings", "running trainings"],
  ["training_cpu_seconds_per_day", "CPU seconds of trainings per day", "CPU s of trainings/day"],
  ["weight", "Weight", "weight"],
];
const NUM_OF_KEYS = 5;

/** Return `[name, label]` of each limit of a tenant. */
export const limitNames = () => LIMITS.map(([name, label]) => [name, label]);

/** Write the limits that are set, such as `20 requests/s, 2,000 tokens/s`. */
export function limitText(limits) {
  const set = LIMITS.filter(([name]) => name in limits);
  if (set.length === 0) return h("span", { class: "hint" }, "those of the tenant");
  return set.map(([name, , unit]) => `${valueText(limits[name])} ${unit}`).join(", ");
}

/** Write one value; `unlimited` and missing values have words. */
export function valueText(value) {
  if (value === undefined || value === null) return "";
  return typeof value === "number" ? number(value) : value;
}

/** Ask for limits, and save those that changed. Returns whether they were saved. */
export function limitDialog({ title, limits, isKey, save }) {
  const known = isKey ? LIMITS.slice(0, NUM_OF_KEYS) : LIMITS;
  const fields = known.map(([name, label]) => [
    name,
    textField({
      label,
      value: limits[name] === undefined ? "" : String(limits[name]),
      inputmode: "decimal",
    }),
  ]);
  const changes = () =>
    Object.fromEntries(
      fields
        .map(([name, field]) => [name, parsed(field.value)])
        .filter(([name, value]) => value !== (limits[name] ?? null)),
    );
  const rest = isKey ? "the limit of the tenant applies" : "the default applies";
  return confirmDialog({
    title,
    content: [
      h("p", {}, `A number, or the word unlimited. Where a field is empty, ${rest}.`),
      fields.map(([, field]) => field),
    ],
    action: "Save the limits",
    run: () => save(changes()),
  });
}

function parsed(text) {
  const trimmed = text.trim();
  if (trimmed === "") return null;
  const value = Number(trimmed.replaceAll(",", ""));
  return Number.isNaN(value) ? trimmed : value;
}
