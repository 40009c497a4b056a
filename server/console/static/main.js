/**
 * The console: one page, whose URL names the screen.
 *
 * To add a screen, write a module in screens/ and add one line to ROUTES. The module exports
 *
 *     export const title = (params) => "Keys";           // of the window and of the heading
 *     export async function render(context) { ... }      // returns the element of the screen
 *
 * `context` is described in shell/context.js: the parts of the URL, the session, an API client
 * whose calls appear in the panel "Code behind this screen", and a signal that aborts when the
 * user leaves. Errors that `render` throws are displayed. Build elements with `h` of
 * components/dom.js: the Content-Security-Policy forbids HTML in strings and inline styles.
 * Components: table, dialog, toast, fields, charts, errors. Styles are in console.css.
 *
 * A route has a `path`, whose parts may be parameters (`:task`), and the lowest `role` that the
 * screen is useful to. With a `label` it appears in the navigation. Paths begin with a noun.
 */

import { startShell } from "./shell/shell.js";

const ROUTES = [
  { path: "", label: "Overview", role: "anonymous", load: () => import("./screens/overview.js") },
  { path: "tasks", label: "Tasks", role: "anonymous", load: () => import("./screens/tasks.js") },
  { path: "tasks/:tenant/:task", role: "anonymous", load: () => import("./screens/task.js") },
  { path: "upload", role: "upload", load: () => import("./screens/upload.js") },
  {
    path: "playground",
    label: "Playground",
    role: "anonymous",
    load: () => import("./screens/playground.js"),
  },
  {
    path: "trainings",
    label: "Training",
    role: "upload",
    load: () => import("./screens/trainings.js"),
  },
  { path: "trainings/:tenant", role: "upload", load: () => import("./screens/trainings.js") },
  {
    path: "trainings/:tenant/:training",
    role: "upload",
    load: () => import("./screens/training.js"),
  },
  { path: "review", label: "Review", role: "upload", load: () => import("./screens/reviews.js") },
  { path: "review/:tenant", role: "upload", load: () => import("./screens/reviews.js") },
  { path: "review/:tenant/:task", role: "upload", load: () => import("./screens/review_task.js") },
  {
    path: "tenants",
    label: "Tenants",
    role: "operator",
    load: () => import("./screens/tenants.js"),
  },
  { path: "tenants/:tenant", role: "admin", load: () => import("./screens/tenant.js") },
  { path: "keys", label: "Keys", role: "admin", load: () => import("./screens/keys.js") },
  { path: "keys/:tenant", role: "admin", load: () => import("./screens/keys.js") },
  { path: "usage", label: "Usage", role: "admin", load: () => import("./screens/usage.js") },
  { path: "usage/:tenant", role: "admin", load: () => import("./screens/usage.js") },
  { path: "audit", label: "Audit log", role: "admin", load: () => import("./screens/audit.js") },
  { path: "sign-in", role: "anonymous", load: () => import("./screens/sign_in.js") },
];

startShell(ROUTES);
