// A class, and a confusion of two: their figures, the segments that show them best and least, and their recordings.

import { get, isAbort, paths, query } from "./api.js";
import { button, h, link, name, put, visible } from "./dom.js";
import { count, percent, plural, score, seconds } from "./format.js";
import { figures } from "./overview.js";
import { Player } from "./player.js";
import { outcome } from "./queue.js";
import { address } from "./router.js";
import { thumbnail } from "./thumbnails.js";
import { page, recordingAddress } from "./walk.js";

const FEW = 24; // recordings of a confusion that are listed here; the queue has all

// Plays segments one at a time.
function segmentPlayer(collection, signal) {
  const player = new Player(signal);
  let now = null;
  player.addEventListener("state", () => { if (!player.playing && now) { put(now, "\u25b6 Hear"); now = null; } });
  return async (control, id, start, length) => {
    const same = now === control;
    player.pause();
    if (same) return;
    const url = `${paths.recording(collection.id, id)}/sound`;
    player.recording(url, start === null ? Infinity : start + length, { stream: true }); // a segment of an hour: only that is fetched
    now = control;
    put(control, "\u25a0 Stop");
    try { await player.play(start ?? 0); } catch (error) { if (!isAbort(error)) put(control, "cannot be played"); }
  };
}

const at = (each) => (each.start_seconds === null ? "" : ` at ${seconds(each.start_seconds)}`); // none: all of the recording

function segmentList(collection, segments, hear, signal) {
  if (!segments.length) return h("p", { class: "quiet" }, "None.");
  return h("ul", { class: "segments" }, segments.map((each) => {
    const canvas = h("canvas", { class: "thumb", "aria-hidden": "true", width: 96, height: 32 });
    thumbnail(canvas, collection, each.recording, signal, each.start_seconds === null ? null : { start: each.start_seconds, length: collection.segment_seconds });
    const control = button("\u25b6 Hear", () => hear(control, each.recording, each.start_seconds, collection.segment_seconds), { class: "small", "aria-label": `Hear ${visible(each.name)}${at(each)}` });
    return h("li", {}, canvas, h("div", { class: "words" },
      link([name(each.name)], recordingAddress(collection.id, each.recording, each.start_seconds === null ? {} : { at: each.start_seconds + collection.segment_seconds / 2, p: each.start_seconds })),
      h("span", {}, outcome({ ...each, right: each.label === null ? null : each.label === each.predicted }), h("span", { class: "quiet number" }, `${at(each)}, score ${score(each.score)}`))), control);
  }));
}

export async function classPage(root, { collection, index, signal }) {
  const found = await get(`${paths.collection(collection.id)}/classes/${index}`, signal);
  const hear = segmentPlayer(collection, signal);
  const to = (parameters) => address(["c", collection.id, "q"], parameters);
  const place = (each) => collection.classes.indexOf(each);
  const { metrics } = found;
  const card = (text, value) => h("div", { class: "figure-card" }, h("span", { class: "quiet" }, text), h("b", {}, value));
  put(root, h("div", { class: "class-page" }, h("header", { class: "view-head" }, h("h1", {}, name(found.name)), neighbours(collection, index)),
    metrics ? h("div", { class: "cards" }, card("Recordings", count(metrics.recordings)), card("Segments predicted right", percent(metrics.segments_right)), card("Precision", percent(metrics.precision)), card("Recall", percent(metrics.recall)), card("F1", percent(metrics.f1))) : null,
    h("p", { class: "actions" }, metrics ? link("Recordings of this class", to({ label: found.name }), { class: "button" }) : null, link("Predicted as this class", to({ predicted: found.name }), { class: "button" })),
    found.confused_with.length ? h("section", {}, h("h2", {}, "Most often confused with"), h("ul", { class: "plain-list" }, found.confused_with.map((each) => h("li", {}, link([name(each.class)], address(["c", collection.id, "x", index, place(each.class)])), h("span", { class: "number" }, ` ${count(each.count)}`))))) : null,
    h("div", { class: "pair" }, h("section", {}, h("h2", {}, "Most typical segments"), segmentList(collection, found.typical, hear, signal)),
      h("section", {}, h("h2", {}, "Most contradictory segments"), segmentList(collection, found.contradictory, hear, signal))),
    found.figures.length ? h("section", {}, h("h2", {}, "Figures"), figures(found.figures)) : null));
  return { title: visible(found.name) };
}

function neighbours(collection, index) {
  const to = (place, text) => (collection.classes[place] === undefined ? null : link([text, name(collection.classes[place])], address(["c", collection.id, "k", place])));
  return h("nav", { class: "neighbours", "aria-label": "Other classes" }, to(index - 1, "\u2190 "), to(index + 1, "\u2192 "));
}

export async function confusionPage(root, { collection, label, predicted, signal }) {
  const [from, to] = [collection.classes[label], collection.classes[predicted]];
  const classAt = (place, as) => get(`${paths.collection(collection.id)}/classes/${place}${query({ predicted: as })}`, signal);
  const [found, back, one, two, overview] = await Promise.all([
    page(collection.id, { label: from, predicted: to, sort: "score", descending: "1" }, 0, signal, FEW), page(collection.id, { label: to, predicted: from }, 0, signal, 1), classAt(label, to), classAt(predicted),
    get(`${paths.collection(collection.id)}/overview`, signal)]);
  const hear = segmentPlayer(collection, signal);
  const both = overview.figures.filter((each) => [each.title, each.question, each.id].some((text) => text?.includes(from) && text.includes(to)));
  const rows = found.items.map((row) => ({ recording: row.id, name: row.name, start_seconds: null, label: row.label, predicted: row.predicted, score: row.score }));
  const counted = overview.confusion, place = (each) => counted.classes.indexOf(each);
  const segments = counted?.segments[place(from)]?.[place(to)] ?? 0;
  const column = (given, text) => h("section", {}, h("h2", {}, text, name(given.name)), segmentList(collection, given.typical, hear, signal));
  put(root, h("div", { class: "class-page" }, h("header", { class: "view-head" }, h("h1", {}, name(from), " predicted as ", name(to)), h("nav", { class: "neighbours", "aria-label": "The two classes" }, link([name(from)], address(["c", collection.id, "k", label])), link([name(to)], address(["c", collection.id, "k", predicted])))),
    h("p", { class: "lead" }, `${plural(found.total, "recording")} and ${plural(segments, "segment")} of `, name(from), " are predicted as ", name(to), `; the other way round ${plural(back.total, "recording")}.`),
    h("p", { class: "actions" }, found.total ? link("Go through them", address(["c", collection.id, "q"], { label: from, predicted: to }), { class: "button primary" }) : null, link("The other way round", address(["c", collection.id, "x", predicted, label]), { class: "button" })),
    h("section", {}, h("h2", {}, "Recordings, surest first"), segmentList(collection, rows, hear, signal)),
    h("section", {}, h("h2", {}, "Segments, the surest of each recording"), segmentList(collection, one.contradictory, hear, signal)),
    h("div", { class: "pair" }, column(one, "Most typical of "), column(two, "Most typical of ")),
    both.length ? h("section", {}, h("h2", {}, "Figures"), figures(both)) : null));
  return { title: `${visible(from)} predicted as ${visible(to)}` };
}
