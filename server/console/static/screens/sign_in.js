/** Signing in with an API key. */

import { h } from "../components/dom.js";
import { InputError } from "../components/errors.js";
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
    await enter(key.value.trim());
    context.navigate(destination(context.query.get("next")), { isReplacing: true });
  };
  return [
    form({ label: "Sign in", fields: [key], action: "Sign in", submit }),
    h("p", {}, "Without a key, you can use the public tasks of this server."),
  ];
}

/** Sign in. The API's error speaks of a header, which the user has not sent. */
async function enter(key) {
  try {
    await signIn(key);
  } catch (error) {
    if (error.code !== "invalid_key") throw error;
    throw new InputError(
      error.problem.title,
      "The API key is unknown, revoked or expired. Check that you copied all of it.",
    );
  }
}

/** A link could name another site as the place to go: only paths of the console count. */
function destination(next) {
  const home = linkTo("");
  return next === home || next?.startsWith(`${home}/`) || next?.startsWith(`${home}?`)
    ? next
    : home;
}
