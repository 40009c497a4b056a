/** Signing in with an API key. */

import { h } from "../components/dom.js";
import { form, textField } from "../components/fields.js";
import { linkTo } from "../shell/router.js";
import { signIn } from "../shell/session.js";

export const title = () => "Sign in";

export async function render(context) {
  const key = textField({
    label: "API key",
    type: "password",
    autocomplete: "off",
    spellcheck: "false",
    required: true,
    hint: [
      "It begins with pp_. The operator of this server creates keys with ",
      h("code", {}, "polyprefix key create TENANT"),
      ".",
    ],
  });
  const submit = async () => {
    await signIn(key.value.trim());
    context.navigate(destination(context.query.get("next")), { isReplacing: true });
  };
  return [
    form({ label: "Sign in", fields: [key], action: "Sign in", submit }),
    h("p", {}, "Without a key, you can use the public tasks of this server."),
  ];
}

/** A link could name another site as the place to go: only paths of the console count. */
function destination(next) {
  const home = linkTo("");
  return next === home || next?.startsWith(`${home}/`) || next?.startsWith(`${home}?`)
    ? next
    : home;
}
