/** The panel "Code behind this screen": each API request of the screen as curl and as Python. */

import { fill, h } from "./dom.js";
import { toast } from "./toast.js";
import { curlOf } from "./curl_text.js";
import { pythonOf } from "./python_text.js";

/**
 * The calls of one screen. A repeated call is listed once, with its latest body.
 * Those that do something come first.
 */
export class CodePanel {
  constructor() {
    this.calls = new Map();
    this.list = h("div");
    this.count = h("span");
    this.element = h(
      "details",
      { class: "code-panel" },
      h("summary", {}, "Code behind this screen", this.count),
      h(
        "p",
        { class: "hint" },
        "Each request of this screen, to copy. The commands take your key from POLYPREFIX_KEY.",
      ),
      this.list,
    );
    this.element.addEventListener("toggle", () => this.draw());
  }

  /** Add a call: `{method, path, body, form}`. */
  add(call) {
    const key = `${call.method} ${call.path.replace(/([?&])after=[^&]*/, "$1")}`;
    this.calls.set(key, call);
    this.count.textContent = ` (${this.calls.size})`;
    this.draw();
  }

  draw() {
    if (!this.element.open) return;
    const calls = [...this.calls.values()];
    const isRead = ({ method }) => method === "GET";
    fill(
      this.list,
      [...calls.filter((call) => !isRead(call)), ...calls.filter(isRead)].map(callBlock),
    );
  }
}

function callBlock(call) {
  return h(
    "section",
    { "aria-label": `${call.method} ${call.path}` },
    h("h3", {}, h("code", {}, `${call.method} ${call.path}`)),
    codeBlock("curl", curlOf(call)),
    codeBlock("Python", pythonOf(call)),
  );
}

function codeBlock(name, text) {
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    toast(`Copied ${name}.`);
  };
  return h(
    "div",
    { class: "code-block" },
    h("pre", { tabindex: "0", role: "region", "aria-label": name }, h("code", {}, text)),
    navigator.clipboard && h("button", { type: "button", onclick: copy }, `Copy ${name}`),
  );
}
