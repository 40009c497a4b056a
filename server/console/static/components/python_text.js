/** An API call as Python that uses `polyprefix_client`. */

import { urlText } from "./url_text.js";

const TASK = "/v1/tenants/([^/?]+)/prefixes/([^/?]+)";
const ALIAS = `${TASK}/aliases/([^/?]+)`;
const TRAININGS = "/v1/tenants/([^/?]+)/trainings";

/**
 * The methods of the client, by route: each form needs one. Other calls use its method `request`.
 */
const METHODS = [
  ["POST", "/v1/predict", (_, { body }) => called("predict", body.input, without(body, "input"))],
  ["POST", "/v1/classify", (_, { body }) => called("classify", body.input, without(body, "input"))],
  ["GET", "/v1/models", () => "client.models()"],
  ["GET", TASK, ([tenant, task]) => called("prefixes.show", `${tenant}/${task}`)],
  [
    "GET",
    `${TASK}/versions/(\\d+)`,
    ([tenant, task, version]) => called("prefixes.version", `${tenant}/${task}@${version}`),
  ],
  [
    "POST",
    `${TASK}/versions\\?dry_run=true`,
    ([tenant, task], { form }) => called("prefixes.check", `${tenant}/${task}`, {}, fileOf(form)),
  ],
  [
    "POST",
    `${TASK}/versions`,
    ([tenant, task], { form }) =>
      called("prefixes.upload", `${tenant}/${task}`, aliasOf(form), fileOf(form)),
  ],
  [
    "PUT",
    ALIAS,
    (names, { body }) => called("prefixes.promote", aliasName(names), {}, body.version),
  ],
  ["POST", `${ALIAS}/rollback`, (names) => called("prefixes.rollback", aliasName(names))],
  ["GET", `${ALIAS}/canary`, (names) => called("canaries.show", aliasName(names))],
  ["PUT", `${ALIAS}/canary`, (names, { body }) => called("canaries.set", aliasName(names), body)],
  ["GET", `${ALIAS}/canary/report`, (names) => called("canaries.report", aliasName(names))],
  ["POST", `${ALIAS}/canary/promote`, (names) => called("canaries.promote", aliasName(names))],
  ["DELETE", `${ALIAS}/canary`, (names) => called("canaries.cancel", aliasName(names))],
  ["POST", `${TRAININGS}\\?dry_run=true`, ([tenant], { form }) => training("check", tenant, form)],
  ["POST", TRAININGS, ([tenant], { form }) => training("start", tenant, form)],
];

/** What to print of each result. Scores have the highest first. */
const PRINTED = {
  single_label_classification: "result.model, result.label, result.scores[0].score",
  multi_label_classification: "result.model, result.labels, result.scores[0].score",
};

/**
 * Write a call, `{method, path, body, form, problems}`, as Python. The key comes from the
 * environment. `problems` are the problem types of the tasks that answer, if they are known.
 */
export function pythonOf(call) {
  return [
    "# Install the client, in a checkout of polyprefix: pip install ./client",
    "# Set your key: export POLYPREFIX_KEY=pp_...",
    "from polyprefix_client import Client",
    "",
    `client = Client(${literal(urlText(""))})`,
    ...printed(methodOf(call) ?? requested(call), call),
  ].join("\n");
}

/** A classification prints its label and score, because the whole result is long. */
function printed(expression, { body, problems }) {
  const [problem, ...others] = problems ?? [];
  const values = others.length === 0 && PRINTED[problem];
  if (!values || !Array.isArray(body?.input)) return [`print(${expression})`];
  return [`for result in ${expression}:`, `    print(${values})`];
}

function methodOf(call) {
  for (const [method, pattern, write] of METHODS) {
    const found = method === call.method && new RegExp(`^${pattern}$`).exec(call.path);
    if (found) return write(found.slice(1).map(decodeURIComponent), call);
  }
  return null;
}

function requested({ method, path, body }) {
  return called("request", method, body === undefined ? {} : { json: body }, path);
}

/** Write `client.NAME(FIRST, SECOND, option=value)`. */
function called(name, first, options = {}, second = undefined) {
  const positional = [first, ...(second === undefined ? [] : [second])].map(literal);
  const named = Object.entries(options).map(([option, value]) => `${option}=${literal(value)}`);
  return `client.${name}(${[...positional, ...named].join(", ")})`;
}

function aliasName([tenant, task, alias]) {
  return `${tenant}/${task}:${alias}`;
}

/** Files are written as `@name`, as curl does. */
function fileOf(form) {
  return new Map(form).get("file").slice(1);
}

function aliasOf(form) {
  const alias = new Map(form).get("alias");
  return alias === undefined ? {} : { alias };
}

function training(name, tenant, form) {
  const { task, file, config, margin, ...others } = Object.fromEntries(form);
  const options = { ...others };
  if (config !== undefined) options.config = JSON.parse(config);
  if (margin !== undefined) options.margin = Number(margin);
  return called(`trainings.${name}`, `${tenant}/${task}`, options, file?.slice(1));
}

function without(object, name) {
  return Object.fromEntries(Object.entries(object).filter(([key]) => key !== name));
}

function literal(value) {
  if (value === null) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  if (typeof value !== "object") return JSON.stringify(value);
  return `{${Object.entries(value)
    .map(([name, item]) => `${JSON.stringify(name)}: ${literal(item)}`)
    .join(", ")}}`;
}
