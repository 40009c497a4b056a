/** The columns with the text and the label: names to enter, or choices once the columns are known. */

import { fill, h } from "../components/dom.js";
import { selectField, textField } from "../components/fields.js";

const LABELS = ["Column with the text", "Column with the label"];

/** The two fields. They belong to the settings until `ask` returns them for another place. */
export class ColumnFields {
  constructor() {
    this.element = h("div", { class: "columns" });
    this.home = h("div", {}, this.element);
    this.setFields(
      LABELS.map((label) => textField({ label, hint: "Found by its name if empty." })),
    );
  }

  /** The names that were entered or chosen; empty ones are found by the server. */
  get values() {
    return this.fields.map((field) => field.value.trim());
  }

  /** Offer the columns of the file, and return the element to display. */
  ask(columns) {
    const options = [["", "Choose a column"], ...columns];
    const chosen = this.values;
    this.setFields(LABELS.map((label, index) => selectField({ label, options, value: chosen[index] })));
    return this.element;
  }

  focus() {
    this.fields[0].input.focus();
  }

  /** Show the fields in the settings again. */
  goHome() {
    this.home.append(this.element);
  }

  setFields(fields) {
    this.fields = fields;
    fill(this.element, fields);
  }
}
