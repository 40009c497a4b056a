/** The playground: one text, and what several tasks or versions answer, side by side. */

import { barChart } from "../components/charts.js";
import { fill, h } from "../components/dom.js";
import { InputError } from "../components/errors.js";
import { areaField, checkField, form, textField } from "../components/fields.js";
import { setQuery } from "../shell/router.js";
import { fieldsOf, inputOf, specsOf } from "./playground_inputs.js";
import { resultCard } from "./playground_results.js";

const MAX_OPTIONS = 500;

export const title = () => "Playground";

export async function render(context) {
  const { data: models } = await context.api.get("/v1/models");
  const playground = new Playground(context, models);
  await playground.choose(playground.initial());
  // A link has named the task, so what is missing is the text.
  if (context.query.has("model")) playground.firstField()?.setAttribute("autofocus", "");
  return playground.element();
}

/** The chosen models, the fields that their templates have, and the results. */
class Playground {
  constructor(context, models) {
    this.context = context;
    this.models = new Map(models.map((model) => [model.id, model]));
    this.chosen = [];
    this.values = {};
    this.chips = h("ul", { class: "chips", "aria-label": "Chosen tasks" });
    this.fields = h("div");
    this.results = h("div", { class: "columns", "aria-live": "polite" });
    this.explain = checkField({ label: "Explain: which words does the label depend on?" });
  }

  /** The models of the URL, else the first public or own task that classifies texts. */
  initial() {
    const named = this.context.query.getAll("model");
    if (named.length > 0) return named;
    const example = [...this.models.values()].find(
      ({ id, task_type: type }) => !id.includes("@") && type === "sequence_classification",
    );
    return example ? [shortName(example.id)] : [];
  }

  element() {
    const fields = h("div", {}, this.fields, this.explain);
    return [
      this.chips,
      form({ label: "Text", fields, action: "Run", submit: () => this.run() }),
      this.results,
      this.picker(),
    ];
  }

  /** The input of the first field, or null without a task. */
  firstField() {
    return this.fields.querySelector("textarea");
  }

  picker() {
    const options = h(
      "datalist",
      { id: "models" },
      [...this.models.keys()]
        .slice(0, MAX_OPTIONS)
        .map((id) => h("option", { value: shortName(id) })),
    );
    const name = textField({
      label: "Add a task or version",
      list: "models",
      autocomplete: "off",
      hint: "Such as examples/spam, or acme/spam@2 for a version.",
    });
    const add = async () => {
      const added = name.value.trim();
      if (added === "") return;
      await this.choose([...new Set([...this.chosen.map(({ model }) => model), added])]);
      name.value = "";
      this.firstField()?.focus();
    };
    return h(
      "div",
      {},
      options,
      form({ label: "Tasks", fields: [name], action: "Add", isPrimary: false, submit: add }),
    );
  }

  async choose(models) {
    this.chosen = await specsOf(this.context.api, models);
    setQuery({ model: models });
    this.draw();
  }

  draw() {
    fill(
      this.chips,
      this.chosen.map(({ model }) =>
        h(
          "li",
          {},
          h(
            "button",
            { type: "button", "aria-label": `Remove ${model}`, onclick: () => this.remove(model) },
            model,
            h("span", { "aria-hidden": "true" }, " ×"),
          ),
        ),
      ),
    );
    fill(
      this.fields,
      this.chosen.length > 0
        ? fieldsOf(this.chosen).map((name) => this.field(name))
        : h("p", { class: "empty" }, "No task is chosen. Add one below."),
    );
    this.explain.hidden = !this.chosen.some(({ type }) => type === "sequence_classification");
    fill(this.results);
  }

  field(name) {
    const field = areaField({
      label: name === "choices" ? "choices, one per line" : name,
      value: this.values[name] ?? "",
      required: true,
      rows: name === "text" || name === "context" ? "4" : "2",
    });
    field.input.addEventListener("input", () => {
      this.values[name] = field.value;
    });
    return field;
  }

  async remove(model) {
    await this.choose(this.chosen.map((one) => one.model).filter((other) => other !== model));
  }

  async run() {
    if (this.chosen.length === 0)
      throw new InputError("No task is chosen", "Expected at least one task. Add one below.");
    const body = { input: this.chosen.map((one) => inputOf(one, this.values)) };
    if (this.explain.input.checked && !this.explain.hidden) body.explain = "occlusion";
    fill(this.results); // an old answer below an error would look like the answer
    const problems = new Set(this.chosen.map(({ problem }) => problem));
    const response = await this.context.api.post("/v1/predict", body, { problems });
    fill(
      this.results,
      response.results.map((result, index) =>
        resultCard(result, this.chosen[index], body.input[index]),
      ),
    );
    return [h("p", { class: "hint" }, timings(response)), similarities(response.results)];
  }
}

/** `tenant/task:live` is what `tenant/task` means. */
function shortName(id) {
  return id.replace(/:live$/, "");
}

function timings({ timings_ms: { total, queue, device }, usage }) {
  return `${usage.tokens} tokens in ${total.toFixed(1)} ms: ${queue.toFixed(1)} ms in the queue, ${device.toFixed(1)} ms on the device.`;
}

/** Vectors say little by themselves; two of the same length can at least be compared. */
function similarities(results) {
  const vectors = results.filter(({ embedding }) => Array.isArray(embedding));
  if (vectors.length < 2 || vectors[0].embedding.length !== vectors[1].embedding.length)
    return null;
  const [a, b] = vectors;
  const dot = (x, y) => x.reduce((sum, value, index) => sum + value * y[index], 0);
  const cosine =
    dot(a.embedding, b.embedding) /
    Math.sqrt(dot(a.embedding, a.embedding) * dot(b.embedding, b.embedding));
  return barChart([{ label: "Cosine similarity", value: cosine }]);
}
