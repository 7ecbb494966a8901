// "What if this part had not sounded?": boxes and lassos that hide, keep or attenuate; the scores follow while drawing.

import { connection, isAbort, send } from "./api.js";
import { beforeAndAfter } from "./bars.js";
import { announce, button, field, h, isTouch, picker, put, visible } from "./dom.js";
import { ACTIONS, bounds, History, inWords } from "./edits.js";
import { findings } from "./findings.js";
import { change, rounded, score, scoreOf, span } from "./format.js";
import { decoded } from "./player.js";

const AT_MOST_EVERY = 120; // milliseconds between two requests while a shape is drawn
const SHOWN = 4; // classes

export function whatIfPanel(scene) {
  const { collection, recording, player, view, signal } = scene;
  const { grid } = collection;
  let past = new History(scene.edits), newest = 0, shownAnswer = 0, last = 0, timer = 0, open = false, asking = false, waiting = null;
  scene.action = "hide";
  scene.decibels = -20;

  const decibels = h("input", { type: "number", min: 1, max: 60, step: 1, value: 20, on: { change: () => { scene.decibels = -Math.min(60, Math.max(1, Number(decibels.value) || 20)); } } });
  const decibelField = field("by (dB)", decibels, { class: "field tiny", hidden: true });
  const action = picker(ACTIONS.map(([value, text]) => ({ value, text })), "hide", (value) => { scene.action = value; decibelField.hidden = value !== "attenuate"; });
  const entry = (text, value, most) => field(text, h("input", { type: "number", min: 0, max: most, step: "any", value }), { class: "field tiny" });
  const limits = { low: rounded(grid.band_edges_hz[0], 0), high: rounded(grid.band_edges_hz[grid.bands], 0) };
  const fields = { start: entry("Start (s)", 0, recording.seconds), end: entry("End (s)", rounded(Math.min(1, recording.seconds)), recording.seconds), low: entry("Low (Hz)", limits.low, limits.high), high: entry("High (Hz)", limits.high, limits.high) };
  const typed = (key) => fields[key].querySelector("input");
  const wrong = h("p", { class: "failure", role: "alert" });
  const form = h("div", { class: "numbers", role: "group", "aria-label": "A box by its numbers", on: { keydown: (event) => { if (event.key === "Enter" && event.target.type === "number") addTyped(); } } }, Object.values(fields), button("Add box", addTyped));
  const undo = button("Undo", () => go(past.undo())), redo = button("Redo", () => go(past.redo())), reset = button("Reset", () => { if (scene.edits.length) commit([]); });
  const list = h("ol", { class: "edits" });
  const bars = h("div", { class: "changes", role: "status" });
  const hear = button("\u25b6 Hear the result", () => listen(scene.edits, null), { class: "primary" });
  const saved = findings(scene, (edits) => commit(edits));
  const element = h("div", { class: "what-if" }, h("p", { class: "quiet" }, isTouch() ? "Draw a box on the log-mel with one finger (with Lasso chosen: any shape), or type its numbers. Two fingers zoom." : "Drag a box on the log-mel (shift and drag: any shape), or type its numbers."),
    h("div", { class: "pickers" }, field("What is drawn is", action), decibelField), form, wrong, list, h("div", { class: "actions" }, undo, redo, reset, hear), bars, saved.element);

  function addTyped() {
    const [start, end, low, high] = ["start", "end", "low", "high"].map((key) => Number(typed(key).value));
    const fault = !(end > start) ? "the end lies after the start" : !(high > low) ? "the high frequency lies above the low one" : start >= recording.seconds ? `the recording ends at ${rounded(recording.seconds)} s` : null;
    put(wrong, fault ? `The box is empty: ${fault}.` : null);
    if (!fault) commit([...scene.edits, { shape: "box", start, end, low, high, action: scene.action, decibels: scene.decibels }]);
  }

  function go(edits) { scene.edits = edits; scene.say("edits"); }

  function commit(edits) { past.add(edits); go(edits); }

  function drawList() {
    undo.disabled = !past.canUndo;
    redo.disabled = !past.canRedo;
    reset.disabled = hear.disabled = !scene.edits.length;
    put(list, scene.edits.map((edit, place) => h("li", {}, h("span", { class: "words" }, inWords(edit)),
      button("\u25b6 Play box", () => playBox(edit), { class: "small", "aria-label": `Play only box ${place + 1}` }),
      button("\u2715", () => { commit(scene.edits.filter((_, other) => other !== place)); undo.focus(); }, { class: "small", "aria-label": `Remove edit ${place + 1}` }))));
  }

  // ---- scores: one question at a time; what was drawn meanwhile is asked when it is answered, the newest alone ----

  function ask(edits, now = true) {
    clearTimeout(timer);
    const wait = now ? 0 : Math.max(0, last + AT_MOST_EVERY - performance.now());
    timer = setTimeout(() => request(edits), wait);
  }

  async function request(edits) {
    if (asking && edits.length) { waiting = edits; return; }
    waiting = null;
    const mine = (newest += 1);
    last = performance.now();
    if (!edits.length) { shownAnswer = mine; put(bars); scene.effect = null; scene.say("effect"); return; }
    asking = true;
    about = explained();
    try {
      const answer = await send("POST", `${scene.path}/what-if`, { edits, start: null, end: null, segment: about, sound: false }, signal);
      if (mine < shownAnswer) return;
      shownAnswer = mine;
      scene.effect = answer;
      scene.say("effect");
      element.dataset.latency = String(Math.round(performance.now() - last));
      drawBars(answer, mine === newest && edits === scene.edits);
    } catch (error) {
      if (!isAbort(error) && mine === newest) put(bars, h("p", { class: "failure" }, error.message));
    } finally {
      asking = false;
      if (waiting) request(waiting);
    }
  }

  // Where the segment begins that is explained; null where none is, or there is but one.
  function explained() {
    const { map } = scene, { start_seconds: starts } = recording.segments;
    const place = map ? (map.whole ? null : scene.segmentOf(map)) : scene.segment;
    return place === null || starts.length < 2 ? null : starts[place];
  }

  const bestOf = (scores) => scores.reduce((one, two) => (two.score > one.score ? two : one)).class;

  const table = (text, { before, after: list }, named) => {
    const after = new Map(list.map((each) => [each.class, each.score]));
    const rows = before.map((each) => ({ class: each.class, before: each.score, after: after.get(each.class) ?? 0 }));
    const shown = rows.filter((each, place) => place < SHOWN || each.class === bestOf(list) || named.includes(each.class));
    return h("table", { class: "scores" }, h("caption", {}, text), h("thead", {}, h("tr", {}, ["Class", "before", "after", "change"].map((each, at) => h("th", { scope: "col", class: at ? "number" : null }, each)))),
      h("tbody", {}, shown.map((each) => h("tr", {}, h("th", { scope: "row" }, bdi(each.class), beforeAndAfter(collection, each.before, each.after)), h("td", { class: "number" }, score(each.before)), h("td", { class: "number" }, score(each.after)), h("td", { class: "number change" }, change(each.before, each.after))))));
  };

  function drawBars(answer, settled) {
    const { predicted_before: was, predicted_after: now, segment } = answer;
    const whole = answer.start_seconds < 0.01 && answer.end_seconds > recording.seconds - 0.01;
    const means = h("span", { class: "quiet" }, recording.segments.count > 1 ? " (mean of its segments)" : "");
    const best = bestOf(answer.after);
    const own = segment && (scene.map?.class ?? segment.before[0].class);
    put(bars, h("p", { class: "lead" }, was === now ? ["The recording is still predicted: ", bdi(now)] : ["The recording is now predicted: ", bdi(now), " instead of ", bdi(was)]),
      best === now ? null : h("p", { class: "quiet" }, "More segments are predicted as it than as any other class; the numbers are means over the segments."),
      segment ? table([scene.map ? "The explained segment, " : "The chosen segment, ", h("span", { class: "number" }, span(segment.start_seconds, segment.end_seconds))], segment, [own, was, now, recording.label]) : null,
      table([whole ? "All of the recording" : ["The surroundings, ", h("span", { class: "number" }, span(answer.start_seconds, answer.end_seconds))], means], answer, [was, now, recording.label]));
    const told = segment ? `the ${scene.map ? "explained" : "chosen"} segment's ${visible(own)}: ${score(scoreOf(segment.before, own))}, now ${score(scoreOf(segment.after, own))}; the recording's ` : "";
    if (settled) announce(`${told}${visible(was)}: ${score(scoreOf(answer.before, was))}, now ${score(scoreOf(answer.after, was))}`);
  }

  const bdi = (text) => h("bdi", {}, visible(text));

  // ---- sound ----

  async function listen(edits, stretch) {
    try {
      hear.setAttribute("aria-busy", "true");
      const answer = await send("POST", `${scene.path}/what-if`, { edits, start: stretch?.start ?? null, end: stretch?.end ?? null, sound: true }, signal);
      const buffer = await decoded(answer.sound, signal);
      player.setLoop(null);
      player.use({ start: stretch?.start ?? 0, seconds: buffer.duration, tracks: [buffer] });
      await player.play(stretch?.start ?? Math.min(player.position, view.seconds));
    } catch (error) {
      if (!isAbort(error)) put(wrong, error.message);
    } finally {
      hear.removeAttribute("aria-busy");
    }
  }

  function playBox(edit) {
    const [start, end] = bounds(edit);
    listen([{ ...edit, action: "keep" }], { start: Math.max(0, start), end: Math.min(end, recording.seconds) });
  }

  function fill(edit) {
    if (edit?.shape !== "box") return;
    for (const key of ["start", "end"]) typed(key).value = rounded(edit[key], 3);
    for (const key of ["low", "high"]) typed(key).value = Math.round(edit[key]);
  }

  scene.addEventListener("drawing", ({ detail }) => {
    if (!detail) { ask(scene.edits); return; }
    const [start, end, low, high] = bounds(detail);
    if (!(end > start && high > low)) return;
    fill(detail);
    if (open) ask([...scene.edits, detail], false);
  });
  scene.addEventListener("drawn", ({ detail }) => {
    fill(detail);
    const [start, end, low, high] = bounds(detail);
    if (!(end > start && high > low)) return;
    scene.openTab?.("what-if");
    commit([...scene.edits, detail]);
  });
  // Another map explains another segment: its scores are asked, where they are looked at.
  let about = null;
  for (const what of ["map", "segment"]) scene.addEventListener(what, () => { if (about !== explained() && scene.edits.length) ask(scene.edits); });
  scene.addEventListener("edits", () => {
    if (past.now !== scene.edits) past = new History(scene.edits);
    put(wrong);
    drawList();
    ask(scene.edits);
  });
  // What was drawn while the server was gone is asked when it is back.
  connection.addEventListener("change", () => { if (connection.state === "here") ask(scene.edits); }, { signal });
  drawList();
  return { element, shown: () => { open = true; if (scene.tool === "pan") { scene.tool = "box"; scene.say("tool"); } }, hidden: () => { open = false; scene.tool = "pan"; scene.say("tool"); player.use(null); } };
}
