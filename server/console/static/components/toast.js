/** Short messages about what has just happened, which screen readers announce. */

import { h } from "./dom.js";

const SECONDS = 8;

/** The region of the messages. The shell puts it on the page once. */
export const toasts = h("div", { class: "toasts", role: "status", "aria-live": "polite" });

/** Show a message for a few seconds. */
export function toast(message) {
  const shown = h("p", { class: "toast" }, message);
  toasts.append(shown);
  setTimeout(() => shown.remove(), SECONDS * 1000);
}
