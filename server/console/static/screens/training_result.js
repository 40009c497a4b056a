/** The result of a training: its version, the aliases that point to it now, and its promotion. */

import { confirmDialog } from "../components/dialog.js";
import { h } from "../components/dom.js";
import { metric, tag } from "../components/facts.js";
import { toast } from "../components/toast.js";
import { tenantPath } from "../shell/api.js";
import { linkTo } from "../shell/router.js";
import { playgroundLink, taskName } from "./task_types.js";

/**
 * Create the card.
 *
 * `entry` has the `versions` and `aliases` of the task: null if it was deleted, undefined if that is
 * not known. `changed` is called after a promotion.
 */
export function resultCard(context, training, entry, changed) {
  const { result, alias, tenant, task } = training;
  const { version } = result;
  const names = aliasesOf(training, entry);
  const isGone = entry === null || entry?.versions.includes(version) === false;
  return h(
    "section",
    { class: "card", "aria-label": "Result" },
    h("h2", {}, `Version ${version} `, tags(result, names, { alias, isGone })),
    h("p", {}, result.reason),
    measured(result),
    names.length === 0 && entry?.aliases[alias] && pointsTo(alias, entry.aliases[alias]),
    h(
      "p",
      { class: "actions" },
      !isGone &&
        h(
          "a",
          { class: "button", href: playgroundLink(modelOf(training, names)) },
          "Open in the playground",
        ),
      entry !== null &&
        h("a", { class: "button", href: linkTo("tasks", tenant, task) }, "Show the task"),
      !isGone &&
        !names.includes(alias) &&
        h(
          "button",
          {
            type: "button",
            class: "primary",
            onclick: () => promote(context, training, entry, changed),
          },
          `Promote version ${version}`,
        ),
    ),
  );
}

function aliasesOf({ result, alias }, entry) {
  if (entry === undefined) return result.is_promoted ? [alias] : [];
  return Object.entries(entry?.aliases ?? {})
    .filter(([, target]) => target === result.version)
    .map(([name]) => name);
}

function tags(result, names, { alias, isGone }) {
  if (isGone) return tag("deleted");
  if (names.length > 0) return names.map((name) => tag(`${name} now`, "good"));
  return tag(result.is_promoted ? `no longer ${alias}` : "published, not promoted");
}

function pointsTo(alias, version) {
  return h("p", {}, `The alias ${alias} points to version ${version}.`);
}

function measured({ metric: name, new: value, live, live_version: version, num_rows: rows }) {
  if (value === null) return null;
  return h(
    "p",
    {},
    `${name}: `,
    h("b", {}, metric(value)),
    live === null ? "" : ` (version ${version}: ${metric(live)})`,
    ` on ${rows} rows.`,
  );
}

/** Code that names an alias follows later promotions; a version does not. */
function modelOf(training, names) {
  if (names.includes("live")) return taskName(training);
  return names.length > 0 ? `${taskName(training)}:${names[0]}` : training.result.ref;
}

async function promote({ api }, { tenant, task, alias, result }, entry, changed) {
  const path = tenantPath(tenant, "prefixes", task, "aliases", alias);
  const current = entry?.aliases[alias];
  const headers = current ? { "If-Match": `"${current}"` } : {};
  const isDone = await confirmDialog({
    title: `Promote version ${result.version}?`,
    content: `The alias ${alias} of ${task} then points to version ${result.version}. You can roll it back.`,
    action: `Promote version ${result.version}`,
    run: () => api.put(path, { version: result.version }, { headers }),
  });
  if (!isDone) return;
  toast(`${alias} points to version ${result.version}.`);
  await changed();
}
