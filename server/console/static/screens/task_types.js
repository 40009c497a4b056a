/** Names of tasks and of their types, as text. */

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
