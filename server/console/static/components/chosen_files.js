/** Files that the user chose. Browsers do not let a page read a file that changed on disk since. */

import { InputError } from "./errors.js";

const MAX_BYTES = 64 * 1024 * 1024;

/** The file on disk of each copy in memory. */
const originals = new WeakMap();

/**
 * Return a copy of the file in memory, so that all requests send the bytes that were chosen.
 *
 * A large file, or one that cannot be read, is returned itself: `checkUnchanged` reports the latter.
 */
export async function heldFile(file) {
  if (file.size > MAX_BYTES) return file;
  try {
    const { name, type, lastModified } = file;
    const copy = new File([await file.arrayBuffer()], name, { type, lastModified });
    originals.set(copy, file);
    return copy;
  } catch {
    return file;
  }
}

/** Throw an InputError if the file changed on disk after it was chosen. */
export async function checkUnchanged(file) {
  const original = originals.get(file);
  try {
    await (original ?? file).slice(0, 1).arrayBuffer();
  } catch (error) {
    if (original && error.name === "NotFoundError") return; // deleted, but in memory
    throw new InputError(
      `${file.name} has changed`,
      "The file was changed on disk after you chose it, and the browser cannot read the new version. Choose or drop the file again.",
    );
  }
}
