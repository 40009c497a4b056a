/** Buttons that suspend, resume or delete a tenant. */

import { confirmDialog } from "../components/dialog.js";
import { h } from "../components/dom.js";
import { toast } from "../components/toast.js";
import { tenantPath } from "../shell/api.js";

const SUSPENDING =
  "Its keys get 403, and its prefixes are hidden from all others, until you resume it.";
const DELETING =
  "Its keys get 401, and its trainings are canceled. You can resume it for a few days. Then its prefixes, trainings and keys are removed.";

/** Create the buttons for a tenant in its state. `changed` is called after a change. */
export function stateActions(context, { name, state }, changed) {
  const path = tenantPath(name);
  const done = async (message) => {
    toast(message);
    await changed();
  };
  const resume = async () => {
    await context.api.post(`${path}/resume`);
    await done(`Tenant ${name} is active.`);
  };
  const suspend = async () => {
    const run = () => context.api.post(`${path}/suspend`);
    if (
      await confirmDialog({
        title: `Suspend ${name}?`,
        content: SUSPENDING,
        action: "Suspend",
        isDangerous: true,
        run,
      })
    )
      await done(`Tenant ${name} is suspended.`);
  };
  const remove = async () => {
    const run = () => context.api.delete(path);
    if (
      await confirmDialog({
        title: `Delete ${name}?`,
        content: DELETING,
        action: "Delete",
        isDangerous: true,
        run,
      })
    )
      await done(`Tenant ${name} is deleted.`);
  };
  const button = (text, onclick, style) =>
    h("button", { type: "button", class: style, onclick, "aria-label": `${text} ${name}` }, text);
  return h(
    "div",
    { class: "actions" },
    state === "active" && button("Suspend", suspend),
    state !== "active" && button("Resume", resume),
    state !== "deleted" && button("Delete", remove, "danger"),
  );
}
