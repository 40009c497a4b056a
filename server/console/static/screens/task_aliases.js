/** The aliases of a task: where they point, promotion, rollback and history. */

import { confirmDialog } from "../components/dialog.js";
import { h } from "../components/dom.js";
import { selectField } from "../components/fields.js";
import { moment, tag } from "../components/facts.js";
import { table } from "../components/table.js";
import { authorOf, otherVersions, taskName } from "./task_types.js";

const UNDOABLE = ["publish", "promote"];

/** Create the section. Keys that may not change the task see no buttons. */
export function aliasSection(visit) {
  const { entry } = visit;
  return h(
    "section",
    { "aria-label": "Aliases" },
    h("h2", {}, "Aliases"),
    entry.aliases.length === 0 && h("p", { class: "empty" }, "No alias points to a version."),
    h(
      "div",
      { class: "cards" },
      entry.aliases.map((alias) => aliasCard(visit, alias)),
    ),
  );
}

function aliasCard(visit, alias) {
  const { name, version, canary, history } = alias;
  return h(
    "section",
    { class: "card", "aria-label": `Alias ${name}` },
    h(
      "h3",
      {},
      `${name} `,
      tag(`@${version}`, "good"),
      canary && tag(`canary @${canary.version}, ${canary.percent} %`),
    ),
    visit.mayChange && controls(visit, alias),
    h("details", {}, h("summary", {}, `History of ${name}`), historyTable(visit, name, history)),
  );
}

/** Return the version to which a rollback returns, or null: it undoes the last move not undone. */
function rollbackTarget({ versions }, { history }) {
  const last = history.findLast(({ kind, is_undone: isUndone }) => UNDOABLE.includes(kind) && !isUndone);
  const target = last?.from_version ?? null;
  return versions.some(({ version }) => version === target) ? target : null;
}

function controls(visit, alias) {
  const others = otherVersions(visit.entry, alias);
  const past = rollbackTarget(visit.entry, alias);
  if (others.length === 0)
    return h("p", { class: "hint" }, "Upload a second version to promote it.");
  const choice = selectField({
    label: `Version for ${alias.name}`,
    options: others.reverse().map((version) => [version, `@${version}`]),
  });
  return [
    choice,
    h(
      "p",
      { class: "actions" },
      h(
        "button",
        {
          type: "button",
          class: "primary",
          onclick: () => promote(visit, alias, Number(choice.value)),
        },
        `Promote to ${alias.name}`,
      ),
      past !== null &&
        h(
          "button",
          { type: "button", onclick: () => rollBack(visit, alias, past) },
          `Roll back ${alias.name}`,
        ),
    ),
  ];
}

async function promote({ context, base, entry }, alias, version) {
  const name = `${taskName(entry)}:${alias.name}`;
  const path = `${base}/aliases/${encodeURIComponent(alias.name)}`;
  const isDone = await confirmDialog({
    title: `Promote version @${version}`,
    content: h(
      "p",
      {},
      `${name} moves from @${alias.version} to @${version}. New requests use it at once; a rollback returns to @${alias.version}.`,
    ),
    action: `Promote @${version}`,
    run: () =>
      context.api.put(path, { version }, { headers: { "If-Match": `"${alias.version}"` } }),
  });
  if (isDone) context.reload(`${name} points to @${version}.`);
}

async function rollBack({ context, base, entry }, alias, past) {
  const name = `${taskName(entry)}:${alias.name}`;
  let target;
  const isDone = await confirmDialog({
    title: `Roll back ${alias.name}`,
    content: h(
      "p",
      {},
      `${name} returns from @${alias.version} to @${past}. New requests use it at once.`,
    ),
    action: `Roll back to @${past}`,
    isDangerous: true,
    run: async () => {
      target = await context.api.post(`${base}/aliases/${encodeURIComponent(alias.name)}/rollback`);
    },
  });
  if (isDone) context.reload(`${name} points to @${target.version} again.`);
}

function historyTable(visit, name, history) {
  const object = `${taskName(visit.entry)}:${name}`;
  return table({
    caption: `History of ${name}`,
    isCaptionHidden: true,
    rows: [...history].reverse(),
    columns: [
      { label: "When", value: ({ moved_at: at }) => moment(at) },
      {
        label: "Change",
        value: ({ kind, percent, reason }) => [
          kind,
          percent !== null && ` ${percent} %`,
          reason && `: ${reason}`,
        ],
      },
      { label: "From", value: ({ from_version: from }) => (from === null ? "" : `@${from}`) },
      { label: "To", value: ({ to_version: to }) => `@${to}` },
      { label: "By", value: ({ moved_by: by }) => authorOf(visit, object, by) },
    ],
  });
}
