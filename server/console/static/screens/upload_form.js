/** Uploads: a file is checked by a dry run first, and published when its findings allow it. */

import { fill, h } from "../components/dom.js";
import { findingsTable, errorBox } from "../components/errors.js";
import { checkField, fileField, textField } from "../components/fields.js";
import { tag } from "../components/facts.js";
import { toast } from "../components/toast.js";
import { tenantPath } from "../shell/api.js";
import { linkTo } from "../shell/router.js";
import { taskType } from "./task_types.js";

/** Create the form for a version of a task; without `task`, the user names a new one. */
export function uploadForm(context, { tenant, task = null }) {
  const name =
    task === null &&
    textField({
      label: "Name of the task",
      required: true,
      pattern: "[a-z0-9]([a-z0-9._\\-]*[a-z0-9])?",
      hint: "Lower-case letters, digits, and between them - . _",
    });
  const alias = checkField({ label: "Promote to live when published", isChecked: task === null });
  const results = h("div", { "aria-live": "polite" });
  const pathOf = () => tenantPath(tenant, "prefixes", task ?? name.value, "versions");
  const publish = async (file) => {
    const version = await context.api.upload(pathOf(), {
      file,
      alias: alias.input.checked ? "live" : null,
    });
    toast(version.is_new ? `Published ${version.ref}.` : `${version.ref} already has these bytes.`);
    context.navigate(`${linkTo("tasks", version.tenant, version.task)}?version=${version.version}`);
  };
  const check = async (file) => {
    if (name && !name.input.reportValidity()) return;
    fill(results, h("p", {}, "Checking the file…"));
    try {
      const checked = await context.api.upload(`${pathOf()}?dry_run=true`, { file });
      fill(
        results,
        outcome(checked, () => publish(file), results),
      );
    } catch (error) {
      if (error.name !== "AbortError") fill(results, errorBox(error));
    }
  };
  const field = fileField({
    label: "Prefix file",
    accept: ".safetensors",
    hint: "Drop a file here, or choose one. It is checked first, and published only when you say so.",
    choose: check,
  });
  return h("div", {}, name, field, alias, results);
}

function outcome(checked, publish, results) {
  const button = h("button", { type: "button", class: "primary" }, "Publish");
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      await publish();
    } catch (error) {
      if (error.name !== "AbortError") results.append(errorBox(error));
      button.disabled = false;
    }
  });
  return [
    h(
      "p",
      {},
      tag("valid", "good"),
      ` The file is a ${taskType(checked.task_type)} and passed all checks. ${checked.num_examples} golden examples gave the stored outputs.`,
    ),
    checked.warnings.length > 0 && findingsTable(checked.warnings),
    h("p", { class: "actions" }, button),
  ];
}
