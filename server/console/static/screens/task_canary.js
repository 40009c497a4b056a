/** The canary of an alias: a second version for a share of the callers, with the live agreement. */

import { barChart } from "../components/charts.js";
import { confirmDialog } from "../components/dialog.js";
import { fill, h, newId } from "../components/dom.js";
import { errorBox } from "../components/errors.js";
import { form, selectField } from "../components/fields.js";
import { table } from "../components/table.js";
import { otherVersions } from "./task_types.js";

const SECONDS = 2;

/** Create the section for the alias with a canary, else for `live`. */
export function canarySection(visit) {
  const { aliases } = visit.entry;
  const alias = aliases.find(({ canary }) => canary) ?? aliases.find(({ name }) => name === "live");
  if (!alias) return false;
  const path = `${visit.base}/aliases/${encodeURIComponent(alias.name)}/canary`;
  return h(
    "section",
    { class: "card", "aria-label": "Canary" },
    h("h2", {}, `Canary of ${alias.name}`),
    settings(visit, alias, path),
    alias.canary && [
      h("p", { class: "actions" }, endings(visit, alias, path)),
      report(visit, path),
    ],
  );
}

function settings({ context, entry }, alias, path) {
  const others = otherVersions(entry, alias);
  const version = selectField({
    label: "Version of the canary",
    value: alias.canary?.version ?? others.at(-1),
    options: others.map((other) => [other, `@${other}`]),
  });
  const percent = slider("Callers that the canary answers", alias.canary?.percent ?? 5);
  const shadow = slider("Inputs that both versions run, to compare answers", 20);
  if (alias.canary) readShadow(context, path, shadow);
  const submit = async () => {
    await context.api.put(path, {
      version: Number(version.value),
      percent: Number(percent.value),
      shadow_percent: Number(shadow.value),
    });
    context.reload(`@${version.value} answers ${percent.value} % of the callers of ${alias.name}.`);
  };
  return form({
    label: "Canary",
    fields: [version, percent, shadow],
    action: alias.canary ? "Change the canary" : "Start the canary",
    submit,
  });
}

async function readShadow({ api }, path, shadow) {
  const state = await api.get(path);
  shadow.value = state.shadow_percent;
}

/** Create a labeled slider of percents whose value is shown next to it. */
function slider(label, initial) {
  const id = newId("slider");
  const output = h("output", { for: id });
  const input = h("input", { id, type: "range", min: "0", max: "100", step: "1" });
  const draw = () => {
    output.textContent = `${input.value} %`;
  };
  input.addEventListener("input", draw);
  const element = h("div", { class: "field" }, h("label", { for: id }, label, " ", output), input);
  Object.defineProperty(element, "value", {
    get: () => input.value,
    set: (value) => {
      input.value = value;
      draw();
    },
  });
  element.value = initial;
  return element;
}

function endings({ context }, alias, path) {
  const { version } = alias.canary;
  const promote = async () => {
    const isDone = await confirmDialog({
      title: `Promote the canary @${version}`,
      content: h(
        "p",
        {},
        `${alias.name} moves from @${alias.version} to @${version}, and the canary ends.`,
      ),
      action: `Promote @${version}`,
      run: () => context.api.post(`${path}/promote`),
    });
    if (isDone) context.reload(`${alias.name} points to @${version}.`);
  };
  const cancel = async () => {
    const isDone = await confirmDialog({
      title: "Cancel the canary",
      content: h("p", {}, `@${alias.version} answers all callers again.`),
      action: "Cancel the canary",
      isDangerous: true,
      run: () => context.api.delete(path),
    });
    if (isDone) context.reload("The canary has ended.");
  };
  return [
    h("button", { type: "button", onclick: promote }, "Promote the canary"),
    h("button", { type: "button", class: "danger", onclick: cancel }, "Cancel the canary"),
  ];
}

function report({ context }, path) {
  const element = h("div", { "aria-label": "Agreement", role: "region" });
  const update = async (api) => {
    try {
      fill(element, reportContent(await api.get(`${path}/report`)));
    } catch (error) {
      if (error.name !== "AbortError") fill(element, errorBox(error));
    }
  };
  update(context.api);
  context.every(SECONDS, () => update(context.background));
  return element;
}

function reportContent(counts) {
  const share = counts.compared > 0 ? counts.agreed / counts.compared : 0;
  const rows = [
    ["live", counts.stable],
    ["canary", counts.canary],
  ];
  return [
    h("h3", {}, "Live agreement"),
    barChart([
      {
        label: "Same answer",
        value: share,
        text: counts.compared > 0 ? `${(100 * share).toFixed(1)} %` : "none yet",
      },
    ]),
    h(
      "p",
      { class: "hint" },
      `${counts.agreed} of ${counts.compared} compared inputs, ${counts.dropped} dropped, ${counts.error_percent.toFixed(1)} % errors`,
    ),
    table({
      caption: "Answers of both versions",
      rows,
      columns: [
        { label: "Version", value: ([name]) => name },
        { label: "Answered", value: ([, { answered }]) => answered, isNumeric: true },
        { label: "Failed", value: ([, { failed }]) => failed, isNumeric: true },
        {
          label: "Mean ms",
          value: ([, { mean_ms: mean }]) => mean?.toFixed(1) ?? "",
          isNumeric: true,
        },
        { label: "Shadow runs", value: ([, { shadow_runs: runs }]) => runs, isNumeric: true },
      ],
    }),
    counts.labels.length > 0 &&
      table({
        caption: "Pairs of answers",
        rows: counts.labels.slice(0, 20),
        columns: [
          { label: "Live", value: ({ stable }) => stable },
          { label: "Canary", value: ({ canary }) => canary },
          { label: "Inputs", value: ({ count }) => count, isNumeric: true },
        ],
      }),
  ];
}
