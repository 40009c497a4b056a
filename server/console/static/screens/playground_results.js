/** What a task has answered, drawn by its type. Positions in texts count code points. */

import { barChart } from "../components/charts.js";
import { h } from "../components/dom.js";
import { table } from "../components/table.js";
import { taskType } from "./task_types.js";

const MAX_SCORES = 10;
const MAX_VALUES = 8;
const LEVELS = 5;

const DRAWERS = {
  sequence_classification: classification,
  token_classification: entities,
  question_answering: answers,
  multiple_choice: choices,
  embedding: vector,
};

/** Create the card of one result. `input` is what was sent for it. */
export function resultCard(result, chosen, input) {
  return h(
    "section",
    { class: "card", "aria-label": `Result of ${chosen.model}` },
    h("h2", {}, chosen.model),
    h(
      "p",
      { class: "hint" },
      `${result.model}, ${taskType(result.task_type)}, ${result.usage.tokens} tokens`,
      result.usage.truncated && ", cut to the maximum length",
    ),
    DRAWERS[result.task_type](result, input),
  );
}

function classification(result, input) {
  const { label, labels, value, scores = [], explanation } = result;
  const chosen = new Set(labels ?? [label]);
  const best = [...scores].sort((a, b) => b.score - a.score);
  return [
    answerLine({ label, labels, value, reason: result.reason }),
    value === undefined &&
      barChart(
        best.slice(0, MAX_SCORES).map(({ label: name, score }) => ({
          label: name,
          value: score,
          isBest: chosen.has(name),
        })),
      ),
    best.length > MAX_SCORES &&
      h("p", { class: "hint" }, `The ${MAX_SCORES} highest of ${best.length} scores`),
    result.rejection &&
      h(
        "p",
        { class: "hint" },
        `Rejection score ${result.rejection.score.toFixed(3)}, cutoff ${result.rejection.cutoff.toFixed(3)}`,
      ),
    explanation && explanationOf(explanation, input),
  ];
}

function answerLine({ label, labels, value, reason }) {
  if (value !== undefined)
    return h("p", { class: "figure" }, Array.isArray(value) ? value.join(", ") : String(value));
  if (labels !== undefined)
    return h("p", { class: "figure" }, labels.length > 0 ? labels.join(", ") : "no label");
  if (label === null) return h("p", { class: "figure" }, `no answer (${reason})`);
  return h("p", { class: "figure" }, label);
}

function entities({ entities: found }, input) {
  const text = input.text ?? Object.entries(input).find(([name]) => name !== "model")?.[1] ?? "";
  const spans = found.map(({ start, end, entity_group: group, entity }) => ({
    start,
    end,
    label: group ?? entity,
  }));
  return [
    h("p", { class: "marked" }, highlighted(text, spans)),
    table({
      caption: "Entities",
      rows: found,
      empty: "The task found no entity in this text.",
      columns: [
        { label: "Text", value: ({ word }) => word },
        { label: "Type", value: ({ entity_group: group, entity }) => group ?? entity },
        { label: "Score", value: ({ score }) => score.toFixed(3), isNumeric: true },
      ],
    }),
  ];
}

function answers({ answer, score, start, end, answers: listed }, input) {
  const all = listed ?? [{ answer, score }];
  return [
    h("p", { class: "figure" }, answer === "" ? "no answer" : answer),
    h(
      "p",
      { class: "marked" },
      highlighted(input.context ?? "", end > start ? [{ start, end, label: "answer" }] : []),
    ),
    barChart(
      all.map((one) => ({
        label: one.answer || "(no answer)",
        value: one.score,
        isBest: one.answer === answer,
      })),
    ),
  ];
}

function choices({ choice, scores }, input) {
  return barChart(
    scores.map((score, index) => ({
      label: input.choices[index],
      value: score,
      isBest: index === choice,
    })),
  );
}

function vector({ embedding }) {
  if (!Array.isArray(embedding)) return null;
  const first = embedding
    .slice(0, MAX_VALUES)
    .map((value) => value.toFixed(4))
    .join(", ");
  return h("p", {}, `${embedding.length} numbers: `, h("code", {}, `${first}, …`));
}

/** Mark spans of a text. Spans that overlap an earlier one are left out. */
function highlighted(text, spans) {
  const characters = Array.from(text);
  const slice = (start, end) => characters.slice(start, end).join("");
  const content = [];
  let place = 0;
  for (const { start, end, label } of [...spans].sort((a, b) => a.start - b.start)) {
    if (start < place) continue;
    content.push(
      slice(place, start),
      h("mark", {}, slice(start, end), h("span", { class: "mark-label" }, ` ${label}`)),
    );
    place = end;
  }
  return [...content, slice(place)];
}

/** Shade each part by the change of the logit without it, relative to the largest change. */
function explanationOf({ label, parts, grouped }, input) {
  const largest = Math.max(...parts.map(({ change }) => Math.abs(change ?? 0)), 1e-9);
  const fields = [...new Set(parts.map(({ field }) => field))];
  return h(
    "div",
    {},
    h("h3", {}, `Why ${label}`),
    fields.map((field) =>
      h(
        "p",
        { class: "marked" },
        shaded(
          input[field] ?? "",
          parts.filter((part) => part.field === field),
          largest,
        ),
      ),
    ),
    h(
      "p",
      {},
      h("span", { class: "support-4" }, "supports the label"),
      " ",
      h("span", { class: "against-4" }, "speaks against it"),
      grouped && " Adjacent words were left out together.",
    ),
    h(
      "details",
      {},
      h("summary", {}, "Changes as numbers"),
      table({
        caption: `Change of the logit of ${label} without each part`,
        rows: parts,
        columns: [
          { label: "Part", value: ({ text }) => text },
          { label: "Change", value: ({ change }) => change?.toFixed(3) ?? "", isNumeric: true },
        ],
      }),
    ),
  );
}

function shaded(text, parts, largest) {
  const characters = Array.from(text);
  const content = [];
  let place = 0;
  for (const { start, end, change = 0 } of parts) {
    const level = Math.round((LEVELS * Math.abs(change)) / largest);
    const kind = change < 0 ? "support" : "against";
    content.push(
      characters.slice(place, start).join(""),
      h(
        "span",
        { class: level > 0 && `${kind}-${level}`, title: change.toFixed(3) },
        characters.slice(start, end).join(""),
      ),
    );
    place = end;
  }
  return [...content, characters.slice(place).join("")];
}
