// Keys: each view says which it knows; "?" shows all that work now, and what fingers do where these are pointed with.
// What is typed into a field stays there.

import { button, h, isTouch, put } from "./dom.js";

const groups = [];

// touch: [[gesture, what it does]]
export function bind(title, keys, signal, touch = []) {
  const group = { title, keys, touch };
  groups.push(group);
  signal?.addEventListener("abort", () => groups.splice(groups.indexOf(group), 1));
}

// Fields, and controls that have a use of their own for arrows, keep their keys.
const TYPING = "input:not([type=checkbox]):not([type=radio]):not([type=button]), select, textarea, [contenteditable]";
const ARROWS = "[role=tablist] *, [role=slider], [role=group].stage-keys, input[type=radio]";
const PRESSED = "button, a, summary, input:not([type=radio]), [role=button]";

function isFree(event) {
  const target = event.target instanceof Element ? event.target : document.body;
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return false;
  if (document.querySelector("dialog[open]")) return false;
  if (target.closest(TYPING)) return false;
  if (event.key.startsWith("Arrow") && target.closest(ARROWS)) return false;
  if ((event.key === " " || event.key === "Enter") && target.closest(PRESSED)) return false;
  return true;
}

function pressed(event) {
  if (!isFree(event)) return;
  for (const group of [...groups].reverse()) {
    const found = group.keys.find((each) => each.keys.includes(event.key));
    if (found) {
      event.preventDefault();
      found.run(event);
      return;
    }
  }
}

const SHOWN = { " ": "Space", ArrowUp: "\u2191", ArrowDown: "\u2193", ArrowLeft: "\u2190", ArrowRight: "\u2192", Escape: "Esc" };

export function showKeys() {
  const dialog = document.getElementById("keys");
  const close = button("Close", () => dialog.close());
  const fingers = isTouch();
  const table = (title, rows) => (rows.length ? [h("h3", {}, title), h("dl", { class: "keys" }, rows.map(([what, text]) => [h("dt", {}, what), h("dd", {}, text)]))] : null);
  const keys = groups.map((group) => table(group.title, group.keys.filter((each) => each.text).map((each) => [each.keys.map((key) => h("kbd", {}, SHOWN[key] ?? key)), each.text])));
  put(dialog, h("h2", { id: "keys-title" }, fingers ? "With fingers" : "Keys"), fingers ? [groups.map((group) => table(group.title, group.touch)), h("details", {}, h("summary", {}, "With a keyboard"), keys)] : keys, h("p", { class: "actions" }, close));
  dialog.showModal();
  close.focus();
}

export function start() {
  document.addEventListener("keydown", pressed);
  // After a click of the mouse the space bar plays; it does not press the same button again.
  document.addEventListener("click", (event) => {
    if (["mouse", "touch", "pen"].includes(event.pointerType)) event.target.closest("main button")?.blur();
  });
  bind("Everywhere", [{ keys: ["?"], text: "show these keys", run: showKeys }]);
}
