/** The list of tasks: those of the key's tenant, public and shared ones; for operators, by tenant. */

import { fill, h } from "../components/dom.js";
import { selectField, textField } from "../components/fields.js";
import { tag } from "../components/facts.js";
import { table } from "../components/table.js";
import { tenantPath } from "../shell/api.js";
import { linkTo, setQuery } from "../shell/router.js";
import { taskName, taskType } from "./task_types.js";

export const title = () => "Tasks";

export async function render(context) {
  const tenants = context.session.isOperator ? await context.api.tenants() : [];
  const search = textField({
    label: "Search",
    type: "search",
    hint: "Part of a name, a task type, or an alias.",
  });
  search.value = context.query.get("q") ?? "";
  const results = h("div", { "aria-live": "polite" });
  let tasks = [];
  const draw = () => {
    const wanted = search.value.trim().toLowerCase();
    setQuery({ q: wanted });
    fill(
      results,
      taskTable(
        tasks.filter((task) => matches(task, wanted)),
        wanted,
      ),
    );
  };
  const load = async (tenant) => {
    tasks = await findTasks(context, tenant);
    draw();
  };
  const chosen = context.query.get("tenant") ?? "";
  const tenantField =
    tenants.length > 0 &&
    selectField({
      label: "Tenant",
      value: chosen,
      options: [["", "Public tasks"], ...tenants.map(({ name }) => name)],
    });
  tenantField?.input?.addEventListener("change", () => {
    setQuery({ tenant: tenantField.value });
    load(tenantField.value);
  });
  search.input.addEventListener("input", draw);
  await load(chosen);
  return [h("div", { class: "columns" }, search, tenantField), newTaskLinks(context), results];
}

function newTaskLinks({ session }) {
  if (!session.allows("upload")) return null;
  return h(
    "p",
    { class: "actions" },
    h("a", { class: "button", href: linkTo("trainings") }, "Train a new task"),
    h("a", { class: "button", href: linkTo("upload") }, "Upload a new task"),
  );
}

/** Return all tasks: `{tenant, task, type, live, aliases, numVersions}`. */
async function findTasks(context, tenant = "") {
  if (tenant) {
    const { prefixes } = await context.api.get(tenantPath(tenant, "prefixes"));
    return prefixes.map(({ task, versions, aliases }) => ({
      tenant,
      task,
      type: null,
      live: aliases.live,
      aliases,
      numVersions: versions.length,
    }));
  }
  const { data } = await context.api.get("/v1/models");
  return [...grouped(data).values()];
}

function grouped(models) {
  const tasks = new Map();
  for (const { id, root, owned_by: tenant, task_type: type } of models) {
    const [name, number] = root.split("@");
    if (!tasks.has(name))
      tasks.set(name, { tenant, task: name.split("/")[1], type, aliases: {}, numVersions: 0 });
    const task = tasks.get(name);
    if (id.includes("@")) task.numVersions += 1;
    else task.aliases[id.split(":")[1] ?? "live"] = Number(number);
    task.live = task.aliases.live;
  }
  return tasks;
}

function matches(task, wanted) {
  const text = [taskName(task), taskType(task.type), ...Object.keys(task.aliases)]
    .join(" ")
    .toLowerCase();
  return wanted.split(/\s+/).every((part) => text.includes(part));
}

function taskTable(tasks, wanted) {
  return table({
    caption: tasks.length === 1 ? "1 task" : `${tasks.length} tasks`,
    rows: tasks,
    empty: wanted
      ? `No task matches "${wanted}". Shorten the search.`
      : "There is no task here yet. Upload or train one.",
    columns: [
      {
        label: "Task",
        value: (task) => h("a", { href: linkTo("tasks", task.tenant, task.task) }, taskName(task)),
      },
      { label: "Type", value: (task) => (task.type ? taskType(task.type) : "") },
      { label: "Live", value: (task) => (task.live ? `@${task.live}` : "none"), isNumeric: true },
      { label: "Versions", value: (task) => task.numVersions, isNumeric: true },
      {
        label: "Aliases",
        value: (task) =>
          Object.entries(task.aliases).map(([name, version]) => tag(`${name} @${version}`)),
      },
    ],
  });
}
