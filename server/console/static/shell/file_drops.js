/** Files that are dropped next to a file field. Without this, the browser would leave the console. */

/**
 * Give files that are dropped anywhere to the file field of the screen, if it shows exactly one.
 *
 * Fields in folded settings count only for files that are dropped onto them.
 */
export function catchFileDrops() {
  document.addEventListener("dragover", (event) => {
    if (hasFiles(event)) event.preventDefault();
  });
  document.addEventListener("drop", (event) => {
    if (event.defaultPrevented || !hasFiles(event)) return;
    event.preventDefault();
    const fields = [...document.querySelectorAll(".drop:not(details *)")].filter((one) => one.checkVisibility());
    if (fields.length === 1) fields[0].take(event.dataTransfer.files[0]);
  });
}

function hasFiles({ dataTransfer }) {
  return dataTransfer?.types.includes("Files");
}
