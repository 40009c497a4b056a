/** Rules of the alias `live`: thresholds and the minimum score, without a new version. */

import { h } from "../components/dom.js";
import { form, textField } from "../components/fields.js";

const MAX_FIELDS = 24;

/** Create the section; false for tasks whose answers have no rules. */
export async function ruleSection({ context, base, entry, detail }) {
  const alias = entry.aliases.find(({ name }) => name === "live");
  const { labels, problem_type: problem } = detail.spec;
  if (!alias || problem === "regression" || detail.task_type !== "sequence_classification")
    return false;
  if (labels.length > MAX_FIELDS) return false;
  const path = `${base}/aliases/live/rules`;
  const rules = await currentRules(context, path, alias);
  const minimum = probability("Minimum score of an answer", rules?.min_score);
  const thresholds = labels.map((label) =>
    probability(`Threshold of ${label}`, rules?.thresholds?.[label]),
  );
  const save = async () => {
    await context.api.put(path, { ...unshown(rules), ...bodyOf(minimum, labels, thresholds) });
    context.reload("The rules apply from the next request on.");
  };
  const reset = async () => {
    await context.api.delete(path);
    context.reload("The rules of the file apply again.");
  };
  return h(
    "section",
    { class: "card", "aria-label": "Rules of live" },
    h(
      "details",
      { open: rules !== null },
      h("summary", {}, "Thresholds of the alias live"),
      h(
        "p",
        { class: "hint" },
        "Probabilities from 0 to 1. An empty field leaves the rule of the file. Rules end when the alias moves.",
      ),
      form({
        label: "Rules of live",
        fields: h("div", { class: "cards" }, minimum, thresholds),
        action: "Set rules",
        submit: save,
      }),
      rules && h("button", { type: "button", onclick: reset }, "Delete rules"),
    ),
  );
}

/** The history says whether there may be rules: asking for none would be an error. */
async function currentRules(context, path, alias) {
  const kinds = alias.history.map(({ kind }) => kind).filter((kind) => !kind.startsWith("canary"));
  const mayHave =
    kinds.at(-1) === "rules" || (kinds.at(-1) === "rollback" && kinds.includes("rules"));
  if (!mayHave) return null;
  try {
    return await context.api.get(path);
  } catch (error) {
    if (error.status === 404) return null;
    throw error;
  }
}

function probability(label, value) {
  const field = textField({ label, type: "number", min: "0", max: "1", step: "0.01" });
  field.value = value ?? "";
  return field;
}

/** Rules that the form does not show, so that saving it keeps them. */
function unshown(rules) {
  const names = ["abstain", "long_text", "stride", "merge"];
  const set = names.filter((name) => (rules?.[name] ?? null) !== null);
  return Object.fromEntries(set.map((name) => [name, rules[name]]));
}

function bodyOf(minimum, labels, thresholds) {
  const given = labels
    .map((label, index) => [label, thresholds[index].value])
    .filter(([, value]) => value !== "");
  const body = {};
  if (given.length > 0)
    body.thresholds = Object.fromEntries(given.map(([label, value]) => [label, Number(value)]));
  if (minimum.value !== "") body.min_score = Number(minimum.value);
  return body;
}
