// Keys: each view binds those that it knows by the table of all; "?" shows that table, the view's own keys first.
// What is typed into a field stays there.

import { button, h, isTouch, put } from "./dom.js";
import { VIEWS } from "./keytable.js";

const groups = [];

// runs: {the first name of a key in the table: what it does}
export function bind(title, runs, signal) {
  const keys = VIEWS[title].keys.filter(([[first]]) => runs[first]);
  if (keys.length < Object.keys(runs).length) throw new Error(`a key of ${title} is not in the table of keys`);
  const group = { title, keys, runs };
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
    const found = group.keys.find(([names]) => names.includes(event.key));
    if (found) {
      event.preventDefault();
      group.runs[found[0][0]](event);
      return;
    }
  }
}

const SHOWN = { " ": "Space", ArrowUp: "\u2191", ArrowDown: "\u2193", ArrowLeft: "\u2190", ArrowRight: "\u2192", Escape: "Esc" };

export function showKeys() {
  const dialog = document.getElementById("keys");
  const close = button("Close", () => dialog.close());
  const fingers = isTouch();
  const table = (title, rows) => (rows.length ? h("section", {}, h("h3", {}, title), h("dl", { class: "keys" }, rows.map(([what, text]) => [h("dt", {}, what), h("dd", {}, text)]))) : null);
  const here = groups.map((group) => group.title).reverse();
  const titles = [...new Set([...here, ...Object.keys(VIEWS)])];
  const keys = titles.map((title) => table(title, VIEWS[title].keys.filter(([, text]) => text).map(([names, text]) => [names.map((key) => h("kbd", {}, SHOWN[key] ?? key)), text])));
  const touch = titles.map((title) => table(title, VIEWS[title].touch ?? []));
  const columns = (...parts) => h("div", { class: "columns" }, parts);
  put(dialog, h("div", { class: "keys-head" }, h("h2", { id: "keys-title" }, fingers ? "With fingers" : "Keys"), close), fingers ? [columns(touch), h("details", {}, h("summary", {}, "With a keyboard"), columns(keys))] : columns(keys));
  dialog.showModal();
  close.focus();
}

export function start() {
  document.addEventListener("keydown", pressed);
  // After a click of the mouse the space bar plays; it does not press the same button again.
  document.addEventListener("click", (event) => {
    if (["mouse", "touch", "pen"].includes(event.pointerType)) event.target.closest("main button")?.blur();
  });
  bind("Everywhere", { "?": showKeys });
}
