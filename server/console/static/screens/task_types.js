/** Names of tasks and of their types as text, and links to the playground. */

import { h } from "../components/dom.js";
import { tenantPath, withQuery } from "../shell/api.js";
import { linkTo } from "../shell/router.js";

const TYPES = {
  sequence_classification: "classification",
  token_classification: "token classification",
  question_answering: "question answering",
  multiple_choice: "multiple choice",
  embedding: "embedding",
};

export function taskType(type) {
  return TYPES[type] ?? String(type ?? "");
}

export function taskName({ tenant, task }) {
  return `${tenant}/${task}`;
}

/** Return the link to the playground with these models, such as `acme/spam@3`. */
export function playgroundLink(...models) {
  return withQuery(linkTo("playground"), { model: models });
}

/**
 * Return the `versions` and `aliases` of a task as they are now, or null if it does not exist.
 *
 * This reads the list of tasks: browsers report each 404 as an error, and new tasks are usual.
 */
export async function findTask(api, { tenant, task }) {
  const { prefixes } = await api.get(tenantPath(tenant, "prefixes"));
  return prefixes.find((one) => one.task === task) ?? null;
}

/** Show who changed an object. Authors are tenants; the audit log also names their keys to admins. */
export function authorOf({ context, entry }, object, author) {
  if (!context.session.manages(entry.tenant, "admin")) return author;
  const href = withQuery(linkTo("audit"), { object });
  return h("a", { href, title: `Audit log of ${object}` }, author);
}

/** Return the versions of a task to which an alias does not point. */
export function otherVersions({ versions }, alias) {
  return versions.map(({ version }) => version).filter((version) => version !== alias.version);
}
