// The queue: recordings behind a filter, gone through with the arrow keys and decided with one key each.

import { isAbort, paths } from "./api.js";
import { announce, button, field, h, later, link, middleCut, name, picker, put, unique, visible } from "./dom.js";
import { count, plural, score } from "./format.js";
import { bind } from "./keys.js";
import { Player } from "./player.js";
import { badge, buttons, DECISIONS, review, reviewOf, reviews, undo } from "./reviews.js";
import { address, amend, go } from "./router.js";
import { set, settings } from "./store.js";
import { thumbnail } from "./thumbnails.js";
import { VirtualList } from "./virtual.js";
import { filterOf, following, forget, PAGE, part, recordingAddress } from "./walk.js";

const SHOW = [["all", "All"], ["wrong", "Misclassified"], ["right", "Predicted right"], ["low-margin", "Low margin"], ["not-reliable", "Not reliable"], ["unreviewed", "Unreviewed"]];
const SORT = [["name", "Name"], ["score", "Score"], ["margin", "Margin"], ["surest-wrong", "Surest and wrong"], ["seconds", "Length"]];
const ROW = 52; // pixels
const OF_LABELS = ["wrong", "right", "surest-wrong"]; // say nothing where no recording has a label

export function queue(root, { collection, parameters, signal }) {
  const { labelled } = collection;
  const fitting = (pairs) => pairs.filter(([value]) => labelled || !OF_LABELS.includes(value));
  let filter = fit(filterOf(parameters), labelled);
  let rows = [], pages = new Map(), generation = 0, player = null;
  const summary = h("p", { class: "quiet", role: "status" }, "\u2026");
  const preview = h("aside", { class: "preview", "aria-label": "Selected recording" });
  const list = new VirtualList({ height: ROW, make, label: "Recordings", columns: 6, onRange: need });
  signal.addEventListener("abort", () => list.drop());

  const text = h("input", { type: "search", placeholder: "part of a name", value: filter.text ?? "", on: { input: later(() => change({ text: text.value }), 200) } });
  const select = (label, key, options) => field(label, picker(options, filter[key] ?? options[0].value, (value) => change({ [key]: value })));
  const classes = [{ value: "", text: "any" }, ...collection.classes.map((each) => ({ value: each, text: each }))];
  const asOptions = (pairs) => pairs.map(([value, each]) => ({ value, text: each }));
  const order = picker(asOptions([["", "ascending"], ["1", "descending"]]), "", (value) => change({ descending: value }));
  // The surest of the misclassified ones come first, whichever way: nobody wants the others first.
  const drawOrder = () => { order.disabled = filter.sort === "surest-wrong"; order.value = order.disabled ? "1" : filter.descending ?? ""; };
  drawOrder();
  const controls = h("div", { class: "filters", role: "search" },
    select("Show", "show", asOptions(fitting(SHOW))), labelled ? select("Label", "label", classes) : null, select("Predicted", "predicted", classes), select("Sort by", "sort", asOptions(fitting(SORT))),
    field("Order", order), field("Search", text));
  const auto = h("input", { type: "checkbox", checked: settings.autoplay, on: { change: () => set("autoplay", auto.checked) } });
  const confusion = h("span");
  const heads = h("div", { class: "heads", "aria-hidden": "true" }, h("span", {}, "Sound"), h("span", {}, "Name"), h("span", {}, labelled ? "Label \u2192 predicted" : "Predicted"), h("span", { class: "right" }, "Score"), h("span", { class: "right" }, "Margin"), h("span", {}, "Decision, verdict"));
  put(root, h("div", { class: "queue" }, h("header", { class: "view-head" }, h("h1", {}, "Queue"), summary, confusion), controls,
    h("div", { class: "queue-body" }, h("div", { class: "listing" }, heads, list.element), preview)));

  function change(given) {
    filter = filterOf(new URLSearchParams(Object.entries({ ...filter, ...given }).filter(([, value]) => value)));
    if (filter.show === "all") delete filter.show;
    if (filter.sort === "name") delete filter.sort;
    drawOrder();
    amend({ show: null, label: null, predicted: null, text: null, sort: null, descending: null, ...filter, i: null, r: null });
    load(0);
  }

  async function load(index, recording = null) {
    generation += 1;
    const candidates = [recording, ...following(collection.id, filter, index)].filter(Boolean);
    forget(collection.id, filter);
    rows = [];
    pages = new Map();
    list.selected = recording && filter.show === "unreviewed" ? 0 : index;
    list.element.scrollTop = 0;
    await fetchPage(Math.floor(index / PAGE));
    // What was decided has left the list of the unreviewed: the recording that was selected, or the next, lies elsewhere.
    const place = candidates.map((id) => rows.findIndex((row) => row?.id === id)).find((each) => each >= 0) ?? list.selected;
    if (recording && place !== list.selected) pick(place, { play: false });
  }

  async function fetchPage(which) {
    if (pages.has(which)) return;
    const mine = generation;
    pages.set(which, true);
    try {
      const found = await part(collection.id, filter, which * PAGE, signal);
      if (mine !== generation) return;
      found.items.forEach((row, place) => { rows[found.offset + place] = row; });
      if (list.total !== found.total || pages.size === 1) {
        list.reset(found.total);
        summarise(found.total);
        if (pages.size === 1 && found.total) list.select(list.selected);
      } else list.renew(found.offset, found.offset + found.items.length);
      if (rows[list.selected]) show();
      if (!found.total) put(preview, h("p", { class: "empty" }, "No recording is like this. Choose another filter."));
    } catch (error) {
      pages.delete(which);
      if (!isAbort(error)) put(summary, h("span", { class: "failure" }, error.message));
    }
  }

  function summarise(total) {
    put(summary, `${count(total)} of ${count(collection.recordings)} recordings`);
    const { label, predicted } = filter;
    const both = label && predicted && label !== predicted;
    const one = label ?? predicted;
    const place = (each) => collection.classes.indexOf(each);
    put(confusion, both ? link(["About this confusion"], address(["c", collection.id, "x", place(label), place(predicted)]))
      : one && place(one) >= 0 ? link(["About ", name(one)], address(["c", collection.id, "k", place(one)])) : null);
  }

  function need(first, last) {
    for (let which = Math.floor(first / PAGE); which <= Math.floor(Math.max(first, last - 1) / PAGE); which += 1) if (list.total) fetchPage(which);
  }

  const there = (index) => recordingAddress(collection.id, rows[index].id, { from: new URLSearchParams(filter).toString() || "show=all", i: index });

  function make(index) {
    const row = rows[index];
    const leave = new AbortController();
    const id = unique("row");
    if (!row) return { element: h("div", { class: "row waiting", role: "row", id }, h("span", { role: "gridcell" }, "\u2026")) };
    const canvas = h("canvas", { class: "thumb", "aria-hidden": "true", width: 96, height: 32 });
    const element = h("div", { class: row.right === false ? "row wrong" : "row", role: "row", id, on: { click: (event) => { if (!event.target.closest("a")) pick(index); }, dblclick: () => open(index) } },
      h("span", { role: "gridcell", class: "cell-thumb" }, canvas),
      h("span", { role: "gridcell", class: "cell-name" }, h("a", { href: there(index), tabindex: "-1", title: visible(row.name), "aria-label": visible(row.name) }, middleCut(row.name)), row.silent ? h("span", { class: "badge plain" }, "silent") : null),
      h("span", { role: "gridcell", class: "cell-class" }, outcome(row)),
      h("span", { role: "gridcell", class: "cell-score number" }, score(row.score)), h("span", { role: "gridcell", class: "cell-margin number quiet" }, score(row.margin)),
      h("span", { role: "gridcell", class: "cell-review" }, badge(reviewOf(collection.id, row)), row.verdict ? h("span", { class: `badge verdict ${row.verdict.replace(" ", "-")}` }, row.verdict) : null));
    thumbnail(canvas, collection, row.id, leave.signal);
    return { element, drop: () => leave.abort() };
  }

  function pick(index, { play = settings.autoplay } = {}) {
    list.select(index);
    amend({ i: list.selected || null, r: rows[list.selected]?.id });
    show();
    if (play) listen(); else player?.pause(); // what is heard is what is shown
  }

  function show() {
    const row = rows[list.selected];
    if (!row) return;
    const canvas = h("canvas", { class: "thumb large", role: "img", "aria-label": "log-mel in small" });
    const decision = buttons(collection.id, row, (value) => decideOn(value));
    const focused = preview.contains(document.activeElement) ? document.activeElement.dataset.focus : null;
    put(preview, canvas, h("h2", {}, link([name(row.name)], there(list.selected))),
      h("p", {}, outcome(row), ", score ", score(row.score), ", margin ", score(row.margin)),
      h("p", { class: "quiet" }, `${row.segments === null ? "" : `${plural(row.segments, "segment")}, `}${row.maps ? `${plural(row.maps, "map")} held` : "no map yet"}${row.verdict ? `; it opens with one that is ${row.verdict}` : ""}`),
      decision.element,
      h("div", { class: "actions" }, button(player?.playing ? "\u25a0 Stop" : "\u25b6 Play", listen, { class: "play", "data-focus": "play" }), link("Open", there(list.selected), { class: "button", "data-focus": "open" }),
        button("Undo", takeBack, { title: "u", "data-focus": "undo" }), h("label", { class: "check" }, auto, " autoplay")));
    thumbnail(canvas, collection, row.id, signal);
    if (focused) preview.querySelector(`[data-focus="${focused}"]`)?.focus();
    announce(`${list.selected + 1} of ${list.total}: ${visible(row.name)}, ${row.predicted === null ? "not scored yet" : `predicted ${visible(row.predicted)}, score ${score(row.score)}`}`);
  }

  function listen() {
    const row = rows[list.selected];
    if (!row) return;
    if (!player) {
      player = new Player(signal);
      for (const what of ["state", "waiting"]) player.addEventListener(what, () => { const play = preview.querySelector(".play"); if (play) put(play, player.playing ? "\u25a0 Stop" : "\u25b6 Play"); });
    }
    const url = `${paths.recording(collection.id, row.id)}/sound`;
    if (player.main?.url === url) { player.toggle(); return; }
    player.pause();
    player.recording(url, Infinity, { stream: true });
    player.play(0).catch((error) => { if (!isAbort(error)) put(summary, h("span", { class: "failure" }, error.message)); });
  }

  function open(index) { if (rows[index]) go(there(index)); }

  function decideOn(value) {
    const row = rows[list.selected];
    if (!row) return;
    review(collection.id, row, value);
    if (list.selected < list.total - 1) pick(list.selected + 1); else show();
  }

  function takeBack() {
    const last = undo();
    const place = last?.collection === collection.id ? rows.findIndex((row) => row?.id === last.id) : -1;
    if (place >= 0) pick(place, { play: false });
  }

  reviews.addEventListener("change", ({ detail }) => {
    if (detail.collection !== collection.id) return;
    const place = rows.findIndex((row) => row?.id === detail.id);
    if (place >= 0) list.renew(place, place + 1);
    if (place === list.selected) show();
  }, { signal });

  const by = (step) => () => pick(list.selected + step);
  bind("Queue", {
    ArrowDown: by(1), ArrowUp: by(-1), PageDown: by(10), PageUp: by(-10), Home: () => pick(0), End: () => pick(list.total - 1), Enter: () => open(list.selected), " ": listen,
    ...Object.fromEntries(DECISIONS.map((each) => [each.key, () => decideOn(each.value)])), u: takeBack, s: by(1),
    a: () => { set("autoplay", !settings.autoplay); auto.checked = settings.autoplay; announce(`autoplay ${settings.autoplay ? "on" : "off"}`); }, "/": () => text.focus(),
  }, signal);
  text.addEventListener("keydown", (event) => { if (event.key === "Escape" || event.key === "Enter") list.element.focus(); });

  load(Math.max(0, Number(parameters.get("i")) || 0), parameters.get("r")).then(() => { if (document.activeElement === document.body || document.activeElement === document.getElementById("view")) list.element.focus({ preventScroll: true }); });
  return { title: "Queue" };
}

// A filter without what cannot be asked of recordings without labels.
function fit(filter, labelled) {
  if (labelled) return filter;
  return Object.fromEntries(Object.entries(filter).filter(([key, value]) => key !== "label" && !(["show", "sort"].includes(key) && OF_LABELS.includes(value))));
}

// What was predicted, and whether that is right: in words, with a mark.
export function outcome(row) {
  if (row.predicted === null) return h("span", { class: "outcome quiet" }, "not scored yet");
  if (row.label === null || row.label === undefined || row.right === null) return h("span", { class: "outcome" }, h("span", { class: "quiet" }, "predicted "), name(row.predicted));
  if (row.right) return h("span", { class: "outcome right" }, h("span", { class: "mark", title: "predicted right" }, "\u2713 "), name(row.predicted));
  return h("span", { class: "outcome wrong" }, h("span", { class: "mark", title: "misclassified" }, "\u2717 "), name(row.label), " \u2192 ", name(row.predicted));
}
