/** One task: its versions with their figures, its aliases, its canary, and uploads. */

import { h } from "../components/dom.js";
import { tag } from "../components/facts.js";
import { tenantPath, withQuery } from "../shell/api.js";
import { linkTo } from "../shell/router.js";
import { aliasSection } from "./task_aliases.js";
import { canarySection } from "./task_canary.js";
import { measureSection } from "./task_measure.js";
import { ruleSection } from "./task_rules.js";
import { playgroundLink, taskName, taskType } from "./task_types.js";
import { detailSection, versionSection } from "./task_versions.js";
import { uploadForm } from "./upload_form.js";

export const title = (params) => taskName(params);

export async function render(context) {
  const { api, params, query, session } = context;
  const base = tenantPath(params.tenant, "prefixes", params.task);
  const entry = await api.get(base);
  const live = entry.aliases.find(({ name }) => name === "live")?.version;
  const chosen = Number(query.get("version")) || live || entry.versions.at(-1).version;
  const detail = await api.get(`${base}/versions/${chosen}`);
  const visit = {
    context,
    base,
    entry,
    detail,
    mayChange: session.manages(params.tenant, "upload"),
  };
  return [
    introduction(visit, live),
    aliasSection(visit),
    versionSection(visit),
    await detailSection(visit),
    visit.mayChange && (await ruleSection(visit)),
    visit.mayChange && entry.versions.length > 1 && canarySection(visit),
    measureSection(visit),
    visit.mayChange && uploadSection(visit),
  ];
}

function introduction({ entry, detail, mayChange }, live) {
  const training = withQuery(linkTo("trainings", entry.tenant), { task: entry.task });
  const status = live ? ["Live is version ", h("b", {}, `@${live}`), ". "] : "No version is live. ";
  return h(
    "div",
    {},
    detail.spec.description && h("p", {}, detail.spec.description),
    h("p", {}, tag(taskType(detail.task_type)), " ", status),
    h(
      "p",
      { class: "actions" },
      h("a", { class: "button", href: playgroundLink(taskName(entry)) }, "Open in the playground"),
      mayChange && h("a", { class: "button", href: training }, "Train a new version"),
    ),
  );
}

function uploadSection({ context, entry }) {
  return h(
    "section",
    { class: "card", "aria-label": "Upload a version" },
    h("h2", {}, "Upload a version"),
    uploadForm(context, entry),
  );
}
