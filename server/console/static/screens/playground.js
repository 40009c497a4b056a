import { h } from "../components/dom.js";

export const title = () => "Playground";

export async function render() {
  return h("p", {}, "Playground");
}
