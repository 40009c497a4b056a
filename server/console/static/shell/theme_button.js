/** The button that switches between light and dark. Without a choice, the system's setting counts. */

import { h } from "../components/dom.js";

/** Create the button. */
export function themeButton() {
  const button = h("button", {
    type: "button",
    class: "theme",
    onclick: () => choose(isDark() ? "light" : "dark"),
  });
  const draw = () => {
    button.textContent = isDark() ? "Light theme" : "Dark theme";
  };
  const choose = (theme) => {
    document.documentElement.dataset.theme = theme;
    localStorage.setItem("polyprefix-theme", theme);
    draw();
  };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  draw();
  return button;
}

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}
