/** Rows that a training cannot use, and columns that it does not find. */

import { h } from "../components/dom.js";
import { errorBox } from "../components/errors.js";
import { table } from "../components/table.js";

const MAX_CHARACTERS = 200;
/** The server cuts the list of columns at so many characters. */
const MAX_LISTED = 200;
const MISSING = /^(['"])(.*?)\1: is missing.*_column, found only the columns (.+)$/s;

/** Show why the rows were rejected: each invalid row in the order of the file. */
export function rejectedRows(problem, { lines = [], advice }) {
  const errors = (problem.errors ?? []).toSorted(inFile);
  if (errors.length === 0) return errorBox({ problem });
  return [
    errorBox({ problem: { ...problem, errors: [], detail: advice } }),
    table({
      caption: "Invalid rows",
      rows: errors,
      columns: [
        { label: "Place", value: ({ field }) => field },
        { label: "Problem", value: ({ message }) => message },
        lines.length > 0 && { label: "Row", value: ({ field }) => rowAt(field, lines) },
      ].filter((column) => column),
    }),
  ];
}

function inFile({ field: one }, { field: other }) {
  return one.localeCompare(other, "en", { numeric: true });
}

function rowAt(field, lines) {
  const line = field.startsWith("train") ? Number(field.match(/ (\d+)$/)?.[1]) : Number.NaN;
  return lines[line - 1] === undefined ? "" : h("code", {}, shortened(lines[line - 1]));
}

export function shortened(line) {
  return line.length > MAX_CHARACTERS ? `${line.slice(0, MAX_CHARACTERS)} ...` : line;
}

/**
 * Return the columns of a table and those that it lacks, `{found, missing}`.
 *
 * Null if the problem is another one.
 */
export function missingColumns(file, problem) {
  if (!/\.(csv|tsv)$/i.test(file.name)) return null; // rows of JSON may lack what others have
  const matches = (problem?.errors ?? []).map(({ message }) => message.match(MISSING));
  if (matches.length === 0 || matches.some((one) => one === null)) return null;
  const [, , , listed] = matches[0];
  const found = listed.split(", ");
  if (listed.length >= MAX_LISTED) found.pop();
  return { found, missing: [...new Set(matches.map(([, , name]) => name))] };
}

/** Ask for the columns; `fields` is the element with the choices. */
export function columnQuestion(problem, { found, missing }, fields) {
  const names = missing.map((name) => `"${name}"`).join(" and no column ");
  const detail = `The file has no column ${names}. The columns of the file are ${found.join(", ")}. Choose the one with the text and the one with the label, then check again.`;
  return [errorBox({ problem: { ...problem, errors: [], detail } }), fields];
}
