// Runs before the page is drawn, so that a chosen theme does not flash the other one.
"use strict";
{
  const chosen = localStorage.getItem("polyprefix-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
}
