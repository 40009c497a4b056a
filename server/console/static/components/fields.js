/** Form fields: each has a label, an optional hint that is read with it, and a `value`. */

import { heldFile } from "./chosen_files.js";
import { h, newId } from "./dom.js";
import { errorBox } from "./errors.js";
import { number } from "./facts.js";

/** Create a labeled input. Further attributes, such as `type` or `required`, go to the input. */
export function textField({ label, hint, ...attributes }) {
  return labeled(label, hint, (connection) =>
    h("input", { type: "text", ...attributes, ...connection }),
  );
}

/** Create a labeled text of several lines. */
export function areaField({ label, hint, value = "", ...attributes }) {
  return labeled(label, hint, (connection) => {
    const area = h("textarea", { rows: "4", ...attributes, ...connection });
    area.value = value;
    return area;
  });
}

/** Create a labeled choice. Options are texts, or pairs of a value and its text. */
export function selectField({ label, hint, options, value, ...attributes }) {
  return labeled(label, hint, (connection) =>
    h(
      "select",
      { ...attributes, ...connection },
      options.map((option) => {
        const [key, text] = Array.isArray(option) ? option : [option, option];
        return h("option", { value: String(key), selected: String(key) === String(value) }, text);
      }),
    ),
  );
}

/** Create a labeled checkbox. */
export function checkField({ label, isChecked = false, ...attributes }) {
  const id = newId("field");
  const input = h("input", { type: "checkbox", id, checked: isChecked, ...attributes });
  return Object.assign(h("div", { class: "check" }, input, h("label", { for: id }, label)), {
    input,
  });
}

/**
 * Create a form that runs `submit` once at a time and shows its error.
 *
 * `submit` may return the content to show below the form.
 */
export function form({ label, fields, action, isPrimary = true, submit }) {
  const result = h("div", { "aria-live": "polite" });
  const button = h("button", { type: "submit", class: isPrimary && "primary" }, action);
  const run = async (event) => {
    event.preventDefault();
    button.disabled = true;
    element.setAttribute("aria-busy", "true");
    try {
      result.replaceChildren(...[await submit()].flat().filter((child) => child));
    } catch (error) {
      if (error.name !== "AbortError") result.replaceChildren(errorBox(error));
    } finally {
      button.disabled = false;
      element.removeAttribute("aria-busy");
    }
  };
  const element = h(
    "form",
    { "aria-label": label, onsubmit: run },
    fields,
    h("p", { class: "actions" }, button),
    result,
  );
  return element;
}

/**
 * Create a field for a file, which takes a dropped one, too. `choose` is called with the file, as
 * `heldFile` returns it.
 *
 * shell/file_drops.js calls `take` of the element with files that are dropped next to it.
 */
export function fileField({ label, hint, accept, choose }) {
  const name = h("span", { class: "hint" });
  let latest = null;
  const take = async (file) => {
    if (file === undefined) return;
    latest = file;
    name.textContent = `${file.name}, ${number(file.size)} bytes`;
    const held = await heldFile(file);
    if (latest === file) choose(held);
  };
  // Without this, choosing the same path again would be no change.
  const clear = (event) => {
    event.target.value = "";
  };
  const field = labeled(label, hint, (connection) =>
    h("input", {
      type: "file",
      accept,
      ...connection,
      onclick: clear,
      onchange: (event) => take(event.target.files[0]),
    }),
  );
  field.classList.add("drop");
  field.append(name);
  field.take = take;
  const mark = (isOver) => (event) => {
    event.preventDefault();
    field.classList.toggle("over", isOver);
  };
  field.addEventListener("dragover", mark(true));
  field.addEventListener("dragleave", mark(false));
  field.addEventListener("drop", (event) => {
    mark(false)(event);
    take(event.dataTransfer.files[0]);
  });
  return field;
}

/** The element of a field has its input as `input`, and `value` reads and sets that of the input. */
function labeled(label, hint, make) {
  const id = newId("field");
  const hintId = hint ? `${id}-hint` : null;
  const input = make({ id, "aria-describedby": hintId });
  const element = h(
    "div",
    { class: "field" },
    h("label", { for: id }, label),
    input,
    hint && h("p", { class: "hint", id: hintId }, hint),
  );
  element.input = input;
  Object.defineProperty(element, "value", {
    get: () => input.value,
    set: (value) => {
      input.value = value;
    },
  });
  return element;
}
