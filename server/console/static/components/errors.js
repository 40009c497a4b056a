/** Errors, in the form of the API: what is wrong, what was expected and found, what to do next. */

import { h } from "./dom.js";
import { table } from "./table.js";

/** Input that the user has to correct, in the form of an error of the API. */
export class InputError extends Error {
  constructor(title, detail) {
    super(detail);
    this.problem = { title, detail };
  }
}

/** Create the element that displays an error of the API, or of the console itself. */
export function errorBox(error) {
  const problem = error.problem ?? { title: "The console failed", detail: String(error) };
  return h(
    "div",
    { class: "error", role: "alert" },
    h("strong", {}, problem.title),
    h("p", {}, problem.detail),
    problem.errors?.length > 0 && fieldErrors(problem.errors),
    problem.findings?.length > 0 && findingsTable(problem.findings),
    error.requestId &&
      h("p", { class: "hint" }, "Request id in the server's log: ", h("code", {}, error.requestId)),
  );
}

/** Create the table of validation findings: each names its part, and says what was expected. */
export function findingsTable(findings) {
  return table({
    caption: "Findings",
    rows: findings,
    columns: [
      { label: "Part", value: ({ subject }) => h("code", {}, subject) },
      { label: "Expected", value: ({ expected }) => expected },
      { label: "Found", value: ({ found }) => found },
      { label: "Next step", value: ({ hint }) => hint },
      { label: "Code", value: ({ code }) => h("code", {}, code) },
    ],
  });
}

function fieldErrors(errors) {
  return table({
    caption: "Fields",
    rows: errors,
    columns: [
      { label: "Field", value: ({ field }) => h("code", {}, field) },
      { label: "Problem", value: ({ message }) => message },
    ],
  });
}
