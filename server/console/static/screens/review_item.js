/** An answer to review: the texts of the input, and what the task answered. */

import { barChart } from "../components/charts.js";
import { h } from "../components/dom.js";
import { moment, number, tag } from "../components/facts.js";

const REASONS = {
  contradicted: "Feedback contradicts the answer",
  disagreement: "Another version answered differently",
  low_margin: "Uncertain answer",
};

/** Show the texts, and why they are listed. */
export function inputOf({ input, reason, model, answered_at: time, margin }) {
  const texts = Object.entries(input);
  return [
    h(
      "p",
      {},
      tag(REASONS[reason]),
      " ",
      margin !== null && h("span", { class: "hint" }, `margin ${number(margin)}, `),
      h("span", { class: "hint" }, `${model}, `),
      moment(time),
    ),
    texts.map(([name, value]) =>
      h(
        "blockquote",
        {},
        texts.length > 1 && h("span", { class: "hint" }, `${name}: `),
        [value].flat().join(" | "),
      ),
    ),
  ];
}

/** Show the recorded answer with the best scores, and feedback that contradicts it. */
export function recordedAnswer({ answer, scores, feedback, other_model: other, input }) {
  const best = Math.max(...scores.map(({ score }) => score));
  return [
    h("p", {}, "The task answered ", h("b", {}, answerText(answer, input)), "."),
    feedback !== null && h("p", {}, "Feedback says ", h("b", {}, answerText(feedback, input)), "."),
    other !== null && h("p", { class: "hint" }, `${other} answered differently.`),
    scores.length > 0 &&
      barChart(scores.map(({ label, score }) => ({ label, value: score, isBest: score === best }))),
  ];
}

/** Write an answer of any task type. */
function answerText({ label, labels, value, entities, answer, choice }, input) {
  if (label !== undefined) return label ?? "no label";
  if (labels !== undefined) return labels.length > 0 ? labels.join(", ") : "no label";
  if (value !== undefined) return number(value);
  if (entities !== undefined)
    return entities.length > 0
      ? entities.map((one) => `${one.label}: ${sliceOf(Object.values(input)[0], one)}`).join("; ")
      : "no entity";
  if (answer !== undefined)
    return answer.end > answer.start ? sliceOf(input.context, answer) : "no answer";
  if (choice !== undefined)
    return Object.values(input).find(Array.isArray)?.[choice] ?? `choice ${choice + 1}`;
  return "nothing";
}

/** Cut a part of a text. The API counts code points, JavaScript counts UTF-16 units. */
function sliceOf(text, { start, end }) {
  return [...(text ?? "")].slice(start, end).join("");
}
