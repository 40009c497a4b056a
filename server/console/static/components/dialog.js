/** Modal dialogs. The browser keeps the focus inside, and returns it when the dialog closes. */

import { h, newId } from "./dom.js";
import { errorBox } from "./errors.js";

/**
 * Ask before doing something. An error of `run` is shown in the dialog, which stays open.
 *
 * @param {object} options
 * @param {string} options.title
 * @param {any} options.content elements or text between the title and the buttons
 * @param {string} options.action text of the button that runs it, such as `Delete version 3`
 * @param {boolean} [options.isDangerous] colors the button as a warning
 * @param {() => Promise<any>} options.run
 * @returns {Promise<boolean>} whether `run` has succeeded
 */
export function confirmDialog({ title, content, action, isDangerous = false, run }) {
  const id = newId("dialog");
  const problems = h("div");
  const button = h("button", { type: "submit", class: isDangerous ? "danger" : "primary" }, action);
  return new Promise((resolve) => {
    const submit = async (event) => {
      event.preventDefault();
      button.disabled = true;
      try {
        await run();
        close(true);
      } catch (error) {
        problems.replaceChildren(errorBox(error));
      } finally {
        button.disabled = false;
      }
    };
    const dialog = h(
      "dialog",
      { "aria-labelledby": id, onclose: () => close(false) },
      h(
        "form",
        { onsubmit: submit },
        h("h2", { id }, title),
        h("div", {}, content),
        problems,
        h(
          "p",
          { class: "actions" },
          button,
          h("button", { type: "button", onclick: () => close(false) }, "Cancel"),
        ),
      ),
    );
    const close = (result) => {
      dialog.remove();
      resolve(result);
    };
    document.body.append(dialog);
    dialog.showModal();
  });
}
