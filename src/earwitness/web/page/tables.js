// Tables: classes that can be sorted, and the confusion table whose cells lead to their recordings.

import { button, h, link, name, put } from "./dom.js";
import { count, percent, plural } from "./format.js";
import { address } from "./router.js";

const MOST_CLASSES = 60, LISTED = 60;

const bar = (value) => h("span", { class: "bar", "aria-hidden": "true" }, h("span", { style: { width: `${100 * (value ?? 0)}%` } }));

const MEASURES = [["Precision", "precision"], ["Recall", "recall"], ["F1", "f1"], ["Segments right", "segments_right"]];

export function classTable(collection, classes) {
  const measured = classes.some((each) => MEASURES.some(([, key]) => each[key] !== null)); // a folder's recordings are counted alone
  const columns = [
    { text: "Class", value: (each) => each.name, cell: (each) => link([name(each.name)], address(["c", collection.id, "k", collection.classes.indexOf(each.name)])) },
    { text: measured ? "Recordings" : "Predicted", value: (each) => each.recordings, cell: (each) => count(each.recordings), number: true },
    ...(measured ? MEASURES : []).map(([text, key]) =>
      ({ text, value: (each) => each[key] ?? -1, cell: (each) => [percent(each[key]), bar(each[key])], number: true })),
  ];
  let sorted = { column: 0, down: false };
  const body = h("tbody"), head = h("tr");
  const draw = () => {
    const { value } = columns[sorted.column];
    const rows = [...classes].sort((one, two) => (value(one) > value(two) ? 1 : value(one) < value(two) ? -1 : 0) * (sorted.down ? -1 : 1));
    put(head, columns.map((column, place) => h("th", { scope: "col", class: column.number ? "number" : null, "aria-sort": place === sorted.column ? (sorted.down ? "descending" : "ascending") : "none" },
      button([column.text, h("span", { class: "arrow", "aria-hidden": "true" }, place === sorted.column ? (sorted.down ? "\u25bc" : "\u25b2") : "")], () => { sorted = { column: place, down: place === sorted.column ? !sorted.down : Boolean(column.number) }; draw(); head.querySelectorAll("button")[place].focus(); }, { class: "sort" }))));
    put(body, rows.map((each) => h("tr", {}, columns.map((column, place) => h(place ? "td" : "th", { scope: place ? null : "row", class: column.number ? "number" : null }, column.cell(each))))));
  };
  draw();
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Classes" }, h("table", { class: "classes" }, h("caption", { class: measured ? "quiet" : "hidden" }, measured ? "Precision, recall and F1 by recording, whatever the confusion table counts" : "How often each class is predicted"), h("thead", {}, head), body));
}

// Of hundreds of classes a table would have a hundred thousand cells: then the commonest confusions are listed.
function confusionList(collection, classes, rows) {
  const pairs = rows.flatMap((row, label) => row.map((value, predicted) => ({ value, label, predicted }))).filter((each) => each.value && each.label !== each.predicted);
  const most = pairs.sort((one, two) => two.value - one.value).slice(0, LISTED);
  if (!most.length) return h("p", {}, "Nothing is misclassified.");
  return h("ol", { class: "plain-list" }, most.map(({ value, label, predicted }) => {
    const [from, to] = [classes[label], classes[predicted]];
    return h("li", {}, link([name(from), " \u2192 ", name(to)], address(["c", collection.id, "q"], { label: from, predicted: to })), ` ${count(value)}`);
  }));
}

export function confusionTable(collection, confusion) {
  const place = h("div"), { classes } = confusion; // of hundreds, those that recordings have or are predicted as
  let which = "files";
  const draw = () => {
    const rows = confusion[which];
    if (rows.length > MOST_CLASSES) { put(place, confusionList(collection, classes, rows)); return; }
    const totals = rows.map((row) => row.reduce((sum, value) => sum + value, 0));
    put(place, h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Confusion table" }, h("table", { class: "confusion" },
      h("caption", { class: "hidden" }, "Rows are the labels, columns what was predicted; each cell leads to its recordings"),
      h("thead", {}, h("tr", {}, h("th", { scope: "col", class: "corner" }, "label \u2193 predicted \u2192"), classes.map((each) => h("th", { scope: "col" }, h("span", { class: "upright" }, name(each)))))),
      h("tbody", {}, rows.map((row, label) => h("tr", {}, h("th", { scope: "row" }, name(classes[label])), row.map((value, predicted) => cell(value, label, predicted, totals[label]))))))));
  };
  // A recording that is predicted right may hold segments that are not: those are the confusion's, not the queue's.
  const counted = (from, to) => (which === "files" || from === to ? address(["c", collection.id, "q"], { label: from, predicted: to })
    : address(["c", collection.id, "x", collection.classes.indexOf(from), collection.classes.indexOf(to)]));
  const cell = (value, label, predicted, total) => {
    const right = label === predicted;
    const style = { "--share": String(total ? value / total : 0) };
    if (!value) return h("td", { class: right ? "right" : null, style }, h("span", { class: "none" }, "\u00b7"));
    const [from, to] = [classes[label], classes[predicted]];
    return h("td", { class: right ? "right" : "wrong", style }, link(String(value), counted(from, to),
      { "aria-label": `${plural(value, which === "files" ? "recording" : "segment")} of ${from} ${right ? "predicted right" : `predicted as ${to}`}: show ${value === 1 ? "it" : "them"}` }));
  };
  const radio = (value, text) => h("label", { class: "check" }, h("input", { type: "radio", name: "confusion", value, checked: which === value, on: { change: () => { which = value; draw(); } } }), ` ${text}`);
  draw();
  return h("div", {}, h("div", { class: "actions", role: "radiogroup", "aria-label": "What is counted" }, radio("files", "recordings"), radio("segments", "segments")), place);
}
