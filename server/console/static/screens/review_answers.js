/** The right answers that a reviewer can give: buttons with the keys 1 to 9, or a number. */

import { h } from "../components/dom.js";
import { selectField, textField } from "../components/fields.js";

const NUM_KEYS = 9;

/**
 * Create the choices for an item.
 *
 * @param {object} item of the review
 * @param {string[]} labels all labels of the task
 * @param {(answer: object) => void} give sends the members of an answer
 * @returns {{element: Element, keys: Map<string, () => void>}} `keys` are the shortcuts
 */
export function answerChoices(item, labels, give) {
  const { answer } = item;
  if ("label" in answer) return labelChoices(item, labels, give);
  if ("labels" in answer) return severalLabels(answer.labels, labels, give);
  if ("value" in answer) return numberChoice(answer.value, give);
  if ("choice" in answer) return choicesOfTexts(item, give);
  return confirmation(answer, give);
}

function labelChoices(item, labels, give) {
  const shown =
    labels.length <= NUM_KEYS ? labels : bestFirst(item.scores, labels).slice(0, NUM_KEYS);
  const { element, keys } = buttons(
    shown.map((label) => [label, () => give({ label })]),
    "Right label",
  );
  if (labels.length > shown.length)
    element.append(
      otherLabels(
        labels.filter((label) => !shown.includes(label)),
        give,
      ),
    );
  return { element, keys };
}

/** With many labels, the likely ones get the keys; with few, each label keeps its key. */
function bestFirst(scores, labels) {
  const best = scores.map(({ label }) => label).filter((label) => labels.includes(label));
  return [...best, ...labels.filter((label) => !best.includes(label))];
}

function otherLabels(labels, give) {
  return selectField({
    label: "Another label",
    options: [["", "Choose"], ...labels],
    onchange: (event) => event.target.value !== "" && give({ label: event.target.value }),
  });
}

function severalLabels(given, labels, give) {
  const chosen = new Set(given);
  const toggles = labels.map((label) => {
    const button = h("button", { type: "button", "aria-pressed": String(chosen.has(label)) });
    const toggle = () => {
      if (!chosen.delete(label)) chosen.add(label);
      button.setAttribute("aria-pressed", String(chosen.has(label)));
    };
    button.addEventListener("click", toggle);
    return { label, button, toggle };
  });
  for (const [index, { label, button }] of toggles.entries()) button.append(...named(index, label));
  const send = () => give({ labels: labels.filter((label) => chosen.has(label)) });
  const keys = new Map(
    toggles.slice(0, NUM_KEYS).map(({ toggle }, index) => [String(index + 1), toggle]),
  );
  keys.set("d", send);
  const element = h(
    "div",
    { class: "actions", role: "group", "aria-label": "Right labels" },
    toggles.map(({ button }) => button),
    h("button", { type: "button", class: "primary", onclick: send }, "Done (D)"),
  );
  return { element, keys };
}

function numberChoice(value, give) {
  const field = textField({
    label: "Right number",
    type: "number",
    step: "any",
    value: String(value),
  });
  const send = (event) => {
    event.preventDefault();
    if (field.input.value !== "") give({ value: Number(field.input.value) });
  };
  const element = h(
    "form",
    { onsubmit: send, "aria-label": "Right number" },
    field,
    h("p", { class: "actions" }, h("button", { type: "submit", class: "primary" }, "Save")),
  );
  return { element, keys: new Map() };
}

function choicesOfTexts({ input }, give) {
  const texts = Object.values(input).find(Array.isArray) ?? [];
  return buttons(
    texts.map((text, choice) => [text, () => give({ choice })]),
    "Right choice",
  );
}

/** Entities and answers in a context need an editor of their own; here they can be confirmed. */
function confirmation(answer, give) {
  const isEntities = "entities" in answer;
  const none = isEntities ? { entities: [] } : { answer: { start: 0, end: 0 } };
  return buttons(
    [
      ["The answer is right", () => give(answer)],
      [isEntities ? "The text has no entity" : "The context has no answer", () => give(none)],
    ],
    "Right answer",
  );
}

function buttons(choices, label) {
  const made = choices.map(([text, run], index) =>
    h("button", { type: "button", onclick: run }, named(index, text)),
  );
  const keys = new Map(
    choices.slice(0, NUM_KEYS).map(([, run], index) => [String(index + 1), run]),
  );
  const element = h(
    "div",
    {},
    h("div", { class: "actions", role: "group", "aria-label": label }, made),
  );
  return { element, keys };
}

function named(index, text) {
  return index < NUM_KEYS ? [h("kbd", {}, String(index + 1)), " ", text] : [text];
}
