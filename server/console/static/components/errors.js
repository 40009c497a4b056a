/** Errors, in the form of the API: what is wrong, what was expected and found, what to do next. */

import { signInPath } from "../shell/router.js";
import { h } from "./dom.js";
import { table } from "./table.js";

/** Input that the user has to correct, in the form of an error of the API. */
export class InputError extends Error {
  constructor(title, detail) {
    super(detail);
    this.problem = { title, detail };
  }
}

/** The API speaks of a header, which users of the console do not send. */
const REJECTED_KEY = {
  title: "This key no longer works",
  detail: "It was revoked, or it has expired. Sign in with another key.",
};

/** Return what to display about an error: `title`, `detail`, and perhaps `errors` and `findings`. */
export function problemOf(error) {
  if (error.isOfSession && error.code === "invalid_key") return REJECTED_KEY;
  return error.problem ?? { title: "The console failed", detail: String(error) };
}

/** Create the element that displays an error of the API, or of the console itself. */
export function errorBox(error) {
  const problem = problemOf(error);
  return h(
    "div",
    { class: "error", role: "alert" },
    h("strong", {}, problem.title),
    h("p", {}, problem.detail),
    error.isOfSession && h("p", {}, h("a", { href: signInPath() }, "Sign in")),
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
