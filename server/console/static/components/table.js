/** Tables. On a narrow screen, a table scrolls within its own box. */

import { h } from "./dom.js";

/**
 * Create a table.
 *
 * @param {object} options
 * @param {string} options.caption names the table for screen readers; shown above it
 * @param {{label: string, value: (row) => any, isNumeric?: boolean}[]} options.columns
 *     `value` returns the content of a cell: text, an element, or a list of them
 * @param {object[]} options.rows
 * @param {any} [options.empty] the content in place of a table without rows
 * @param {boolean} [options.isCaptionHidden] shows the caption to screen readers alone
 */
export function table({
  caption,
  columns,
  rows,
  empty = "Nothing here yet.",
  isCaptionHidden = false,
}) {
  if (rows.length === 0) return h("p", { class: "empty" }, empty);
  const cellClass = (column) => (column.isNumeric ? "numeric" : null);
  return h(
    "div",
    { class: "table-box", role: "region", "aria-label": caption, tabindex: "0" },
    h(
      "table",
      {},
      h("caption", { class: isCaptionHidden && "visually-hidden" }, caption),
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          columns.map((column) =>
            h("th", { scope: "col", class: cellClass(column) }, column.label),
          ),
        ),
      ),
      h(
        "tbody",
        {},
        rows.map((row) =>
          h(
            "tr",
            {},
            columns.map((column) => h("td", { class: cellClass(column) }, column.value(row))),
          ),
        ),
      ),
    ),
  );
}
