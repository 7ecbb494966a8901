// Which evidence is shown: method, class, "rather than"; with its verdict, its regions, and the map in words.

import { button, field, h, picker, put, visible } from "./dom.js";
import { band, percent, score, seconds, short, span } from "./format.js";
import { cancel, progress } from "./jobs.js";
import { base, WHOLE } from "./scene.js";

const LONGEST_WHOLE = 20; // seconds
const MARK = { reliable: "\u2713", weak: "~", "not reliable": "\u2717" };

export function evidencePanel(scene, described) {
  const { collection, recording } = scene;
  const order = [...new Set([...recording.scores.map((each) => each.class), ...collection.classes])];
  const ask = () => scene.choose({ method: method.value, target: target.value || null, against: against.value || null });
  const options = order.map((each) => ({ value: each, text: each }));
  const method = picker(methods(scene), scene.usual, ask);
  const target = picker(options, scene.question.target ?? recording.predicted, ask);
  const against = picker([{ value: "", text: "\u2013" }, ...options], scene.question.against ?? "", ask);
  const state = h("div", { class: "state", role: "status" });
  const result = h("div", { class: "map-result" });
  const text = h("p", { class: "map-text", id: described }, "No map is shown.");
  const element = h("div", {}, h("div", { class: "pickers" }, field("Method", method), field("Class", target), field("rather than", against)), why(), state, result);

  // Of a misclassified recording one wants to know why the one class, and not the other.
  function why() {
    const { label, predicted } = recording;
    if (recording.right !== false || !collection.classes.includes(label)) return null;
    return h("p", { class: "actions" }, button(["Why ", h("bdi", {}, visible(predicted)), " rather than ", h("bdi", {}, visible(label)), "?"], () => scene.choose({ method: method.value, target: predicted, against: label }), { class: "small wraps" }));
  }

  let said = null, bar = null;
  // Drawn anew only where it says something else: who is about to press a button keeps it.
  function drawState() {
    const { job, failure, map } = scene;
    const saying = job ? job.id : failure ?? (map ? `${elsewhere()} ${unlikeExplain()}` : `none ${method.value}`);
    if (job && said === saying) bar.update(job);
    if (said === saying) return;
    said = saying;
    if (job) {
      bar = progress(job);
      put(state, bar.element, button("Cancel", () => cancel(job.id), { class: "small" }));
    } else if (failure) put(state, h("p", { class: "failure" }, failure), button("Try again", ask));
    else if (!map) put(state, h("p", {}, "No map is shown. A map says which moments and frequencies the score relies on."), button(`Explain with ${method.selectedOptions[0]?.text ?? "the usual method"}`, ask, { class: "primary" }));
    else if (elsewhere()) put(state, h("p", { class: "quiet" }, "Another segment is chosen. "), button("Explain this segment", ask, { class: "primary" }));
    else if (unlikeExplain()) put(state, h("p", { class: "quiet" }, "This map was kept; the most confident segment is at ", h("span", { class: "number" }, seconds(recording.surest)), ". "), button("Explain that segment", () => scene.choose({ method: method.value, target: recording.predicted, against: null, at: middle() }), { class: "small" }));
    else put(state);
  }

  const elsewhere = () => scene.map && base(scene.map.method) !== WHOLE && scene.question.at !== null && scene.segment !== scene.segmentOf(scene.map);

  // Where nobody chose a segment, `explain` and the report take the most confident one: a kept map may be of another.
  const middle = () => recording.surest + recording.segments.length_seconds / 2;
  const unlikeExplain = () => scene.map && !scene.map.whole && scene.question.at === null && recording.surest !== null && scene.segmentOf(scene.map) !== scene.segmentAt(middle());

  function drawMap() {
    const { map } = scene;
    const { question } = scene;
    if (question.method) method.value = base(question.method);
    if (question.target) target.value = question.target;
    against.value = question.against ?? "";
    drawState();
    text.textContent = map ? map.text : "No map is shown.";
    text.classList.toggle("hidden", !map);
    if (!map) { put(result, text); return; }
    const away = button("Hide the map", () => scene.hide(), { class: "small" });
    put(result,
      h("div", { class: "map-head" }, h("h2", {}, map.title, h("span", { class: "quiet" }, " for "), h("bdi", {}, visible(map.target))), away),
      h("dl", { class: "facts" }, fact("Segment", span(...scene.extentOf(map))), fact(map.score_kind, score(map.score)), fact("Strongest value", short(map.strongest)), fact("Cells", `${map.rows} \u00d7 ${map.columns}`)),
      map.flags.map((each) => h("p", { class: "flag" }, h("b", {}, "Note: "), visible(each))),
      verdict(map), text, regions(scene, map));
  }

  scene.addEventListener("map", drawMap);
  for (const what of ["job", "question", "segment"]) scene.addEventListener(what, drawState);
  drawMap();
  return { element };
}

// The usual ones come first; a short recording can be explained as a whole too.
function methods({ collection, recording }) {
  const all = [...collection.methods];
  if (!all.some((each) => each.name === WHOLE) && recording.seconds <= LONGEST_WHOLE) all.push({ name: WHOLE, title: "All of the recording (occlusion)", family: "all of it" });
  return all.map((each) => ({ value: each.name, text: each.title, group: each.default ? "usual" : each.family })).sort((one, two) => (two.group === "usual") - (one.group === "usual"));
}

const fact = (term, value) => h("div", {}, h("dt", {}, term), h("dd", { class: "number" }, value));

function verdict(map) {
  const given = map.verdict;
  if (!given) return h("p", { class: "quiet" }, map.whole ? "A map of all of the recording has no verdict." : "No verdict yet.");
  return h("div", { class: `verdict-card ${given.level.replace(" ", "-")}` },
    h("h3", {}, h("span", { class: "mark", "aria-hidden": "true" }, MARK[given.level]), ` Verdict: ${given.level}`, h("span", { class: "quiet" }, ` ${percent(given.chance, 0)} chance that it can be relied on`)),
    h("ul", {}, given.reasons.map((each) => h("li", { class: each.good ? "good" : "bad" }, h("span", { class: "mark", title: each.good ? "speaks for it" : "speaks against it" }, each.good ? "+" : "\u2212"), h("span", { class: "hidden" }, each.good ? "for it: " : "against it: "), visible(each.text)))),
    given.advice ? h("p", {}, visible(given.advice)) : null,
    given.beyond ? h("p", { class: "quiet" }, visible(given.beyond)) : null);
}

const rough = (hz) => Number(hz.toPrecision(3)); // as the map in words has it

// Regions and detections: a button each, which loops its span.
function regions(scene, map) {
  if (!map.regions.length) return h("p", { class: "quiet" }, "No region stands out.");
  return h("section", {}, h("h3", {}, "Regions with most of the evidence"), h("ol", { class: "spans" }, map.regions.map((each, place) =>
    h("li", {}, loopButton(scene, each.start_seconds, each.end_seconds, [h("span", { class: "letter" }, String.fromCharCode(65 + place)), h("span", { class: "number" }, span(each.start_seconds, each.end_seconds)), h("span", { class: "number" }, band(rough(each.low_hz), rough(each.high_hz))),
      h("span", { class: "quiet" }, `${percent(each.share, 0)} of the evidence`, each.without === null || each.without === undefined ? "" : `; without it ${score(each.score)} \u2192 ${score(each.without)}`)])))),
    h("p", { class: "quiet" }, "Without it: with the segment's mean level in its place. Listen and What if silence a place, so their numbers differ."));
}

export function loopButton(scene, start, end, content) {
  return button(content, () => {
    const { player, view } = scene;
    const same = player.loop && player.loop.start === start && player.loop.end === end;
    player.setLoop(same ? null : { start, end });
    if (same) { player.pause(); return; }
    view.reveal(start, end);
    player.play(start).catch(() => {});
  }, { class: "span", title: "loops this stretch; again stops it" });
}
