// A person's decisions: marked at once, sent by the outbox, undone one by one.

import { announce, button, h, visible } from "./dom.js";
import { decide, pending } from "./outbox.js";
import { tell, told } from "./siblings.js";

export const DECISIONS = [
  { key: "1", value: "correct", mark: "\u2713", text: "Correct", title: "the prediction is right" },
  { key: "2", value: "wrong label", mark: "\u2717", text: "Wrong label", title: "the label of the recording is wrong" },
  { key: "3", value: "unsure", mark: "?", text: "Unsure", title: "cannot be told" },
  { key: "4", value: "interesting", mark: "\u2605", text: "Interesting", title: "worth another look" },
];

export const reviews = new EventTarget();
let done = []; // what undo takes back, the latest last
const known = new Map(); // decisions made on this page, which lists loaded earlier do not hold
const key = (collection, id) => `${collection}/${id}`; // two runs of the same recordings call these the same

export function reviewOf(collection, row) {
  const mine = key(collection, row.id);
  return (pending(collection, row.id) ?? (known.has(mine) ? { review: known.get(mine) } : row)).review ?? null;
}

export function review(collection, row, decision, note) {
  const before = reviewOf(collection, row);
  const now = { decision, note: note ?? before?.note ?? "", at: new Date().toISOString() };
  done.push({ collection, id: row.id, name: row.name, before });
  store(collection, row.id, now.decision || now.note ? now : null);
  const said = DECISIONS.find((each) => each.value === decision)?.text ?? "note kept";
  announce(`${said}: ${visible(row.name)}`);
}

export function undo() {
  const last = done.pop();
  if (!last) { announce("nothing to undo"); return null; }
  store(last.collection, last.id, last.before);
  announce(`undone: ${visible(last.name)}`);
  return last;
}

function store(collection, id, now) {
  known.set(key(collection, id), now);
  decide(collection, id, now);
  const detail = { collection, id, review: now };
  reviews.dispatchEvent(new CustomEvent("change", { detail }));
  tell("review", detail);
}

// Undoing here what another tab has decided over since would take its decision back, and not this one.
told("review", (detail) => {
  done = done.filter((each) => key(each.collection, each.id) !== key(detail.collection, detail.id));
  known.set(key(detail.collection, detail.id), detail.review);
  reviews.dispatchEvent(new CustomEvent("change", { detail }));
});

export function badge(review) {
  const found = DECISIONS.find((each) => each.value === review?.decision);
  if (!found) return review?.note ? h("span", { class: "badge plain" }, "note") : null;
  return h("span", { class: "badge decided" }, h("span", { "aria-hidden": "true" }, found.mark), ` ${found.text}`);
}

// The four buttons, with the key of each.
export function buttons(collection, row, choose) {
  const all = DECISIONS.map((each) => button([h("span", { class: "mark", "aria-hidden": "true" }, each.mark), each.text, h("kbd", { "aria-hidden": "true" }, each.key)], () => choose(each.value),
    { class: "decision", title: each.title, "aria-keyshortcuts": each.key, "data-focus": each.value }));
  const draw = () => {
    const now = reviewOf(collection, row)?.decision;
    DECISIONS.forEach((each, place) => all[place].setAttribute("aria-pressed", String(now === each.value)));
  };
  draw();
  return { element: h("div", { class: "decisions", role: "group", "aria-label": "Your decision" }, all), draw };
}
