import { h } from "../components/dom.js";

export const title = () => "Task";

export async function render() {
  return h("p", {}, "Task");
}
