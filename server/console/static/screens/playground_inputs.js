/** The inputs of tasks: which fields their templates have, and the object to send. */

import { tenantPath } from "../shell/api.js";

const FIELD = /\{(\w+)\}/g;
const FIXED = { question_answering: ["question", "context"] };

/** Read the description of each model: `{model, type, problem, fields}`. */
export async function specsOf(api, models) {
  return Promise.all(models.map((model) => specOf(api, model)));
}

async function specOf(api, model) {
  const card = await api.get(`/v1/models/${encodeURI(model)}`);
  const [name, version] = card.root.split("@");
  const [tenant, task] = name.split("/");
  const { spec } = await api.get(tenantPath(tenant, "prefixes", task, "versions", version));
  return {
    model,
    type: card.task_type,
    problem: spec.problem_type,
    fields: fieldsOfSpec(spec, card.task_type),
  };
}

function fieldsOfSpec({ input }, type) {
  const named = [...`${input?.text ?? ""} ${input?.text_pair ?? ""}`.matchAll(FIELD)].map(
    ([, name]) => name,
  );
  const fields = [...new Set(named)];
  if (fields.length === 0) return FIXED[type] ?? ["text"];
  if (type !== "multiple_choice") return fields;
  return [...fields.filter((name) => name !== "choice"), "choices"];
}

/** Return the fields of all chosen tasks, each once. */
export function fieldsOf(chosen) {
  return [...new Set(chosen.flatMap(({ fields }) => fields))];
}

/** Return the input of one task: its model, and the values of its fields. */
export function inputOf({ model, fields }, values) {
  const valueOf = (name) =>
    name === "choices"
      ? (values.choices ?? "").split("\n").filter((line) => line.trim() !== "")
      : (values[name] ?? "");
  return { model, ...Object.fromEntries(fields.map((name) => [name, valueOf(name)])) };
}
