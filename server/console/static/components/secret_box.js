/** A secret that is shown once, with a button that copies it. */

import { h } from "./dom.js";
import { textField } from "./fields.js";
import { toast } from "./toast.js";

/** Create the box of a new secret. */
export function secretBox({ label, secret }) {
  const field = textField({
    label,
    value: secret,
    readonly: "",
    spellcheck: "false",
    hint: "Copy it now: the server stores only its hash, and cannot show it again.",
  });
  const copy = async () => {
    await navigator.clipboard.writeText(secret);
    toast("Copied the key.");
  };
  field.input.addEventListener("focus", () => field.input.select());
  return h(
    "section",
    { class: "card", "aria-label": "New key, shown once" },
    field,
    navigator.clipboard &&
      h("button", { type: "button", class: "primary", onclick: copy }, "Copy the key"),
  );
}
