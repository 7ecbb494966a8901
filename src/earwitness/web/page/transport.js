// Below the lanes: play, where the sound is, loop, volume; zoom, tools, and how the evidence is drawn.

import { button, field, h, put } from "./dom.js";
import { drawBar } from "./evidence.js";
import { seconds, short, span } from "./format.js";
import { changes, isDark, set, settings } from "./store.js";

// Of several scenes the first one is played and drawn on; the colours are those of all.
export function transport(scene, stage, scenes = [scene]) {
  const { player, view, signal } = scene;
  const play = button("\u25b6 Play", () => player.toggle().catch(failed), { class: "play primary", "aria-keyshortcuts": "Space" });
  const time = h("output", { class: "time number", "aria-label": "Position" });
  const loop = button("Loop", () => player.setLoop(player.loop ? null : stretch()), { "aria-pressed": "false", title: "loops the explained segment, or what is in sight" });
  const failure = h("span", { class: "failure", role: "alert" });
  const volume = h("input", { type: "range", min: 0, max: 1, step: 0.05, value: settings.volume, on: { input: () => { set("volume", Number(volume.value)); player.setVolume(settings.volume); } } });
  const stretch = () => {
    const [start, end] = scene.map ? scene.extentOf(scene.map) : [];
    const isPart = scene.map && (start > 0 || end < view.seconds);
    return isPart && start >= view.start && end <= view.end ? { start, end } : { start: view.start, end: view.end };
  };
  const failed = (error) => put(failure, error.message);

  const tools = ["pan", "box", "lasso"].map((each) => button({ pan: "Move", box: "Box", lasso: "Lasso" }[each], () => { scene.tool = each; scene.say("tool"); if (each !== "pan") scene.openTab?.("what-if"); },
    { class: "tool", title: { pan: "drag moves the view, click seeks", box: "drag draws a box (b)", lasso: "drag draws any shape (shift and drag)" }[each] }));
  const toolBar = h("div", { class: "group", role: "group", "aria-label": "What dragging does" }, tools);
  const zoom = h("div", { class: "group", role: "group", "aria-label": "Zoom" },
    button("\u2212", () => view.zoom(1 / 1.6, centre()), { "aria-label": "Zoom out" }), button("+", () => view.zoom(1.6, centre()), { "aria-label": "Zoom in" }), button("All", () => view.fit(), { "aria-label": "Show all of the recording" }),
    button("Segment", () => { if (scene.map) view.set(scene.map.start_seconds - 0.05, scene.map.end_seconds + 0.05); }, { class: "to-map", "aria-label": "Show the explained segment" }));
  const centre = () => (player.position >= view.start && player.position <= view.end ? player.position : undefined);

  const opacity = h("input", { type: "range", min: 0, max: 1, step: 0.05, value: settings.opacity, on: { input: () => set("opacity", Number(opacity.value)) } });
  const marks = h("input", { type: "checkbox", checked: settings.marks, on: { change: () => set("marks", marks.checked) } });
  const canvas = h("canvas", { class: "bar-colours", "aria-hidden": "true" });
  const numbers = h("span", { class: "bar-numbers number" });
  const layer = h("div", { class: "layer" }, field("Opacity", opacity), h("label", { class: "check" }, marks, " outlines"),
    h("div", { class: "colour-bar" }, h("span", { class: "bar-words" }, h("span", {}, "against (dashed)"), h("span", {}, "for (solid)")), canvas, numbers));

  const draw = () => {
    put(play, player.playing ? "\u275a\u275a Pause" : "\u25b6 Play");
    loop.setAttribute("aria-pressed", String(Boolean(player.loop)));
    loop.textContent = player.loop ? `Loop ${span(player.loop.start, player.loop.end)}` : "Loop";
  };
  const where = () => { time.textContent = `${seconds(player.shown)} / ${seconds(view.seconds)}`; };
  const bar = () => {
    const strongest = scenes.flatMap((each) => each.map?.strongest ?? []);
    layer.hidden = !strongest.length;
    zoom.querySelector(".to-map").hidden = !scene.map;
    if (!strongest.length) return;
    const scale = new Set(strongest.map(short)).size > 1 ? ["\u2212strongest", "0", "strongest"] : [-1, 0, 1].map((share) => short(share * strongest[0]));
    put(numbers, ...scale.map((each) => h("span", {}, each)));
    drawBar(canvas, isDark());
  };
  const tool = () => tools.forEach((each, place) => each.setAttribute("aria-pressed", String(scene.tool === ["pan", "box", "lasso"][place])));

  for (const what of ["state", "loop", "source"]) player.addEventListener(what, draw, { signal });
  player.addEventListener("source", where, { signal });
  player.addEventListener("state", () => put(failure), { signal });
  player.addEventListener("position", where, { signal });
  player.addEventListener("state", where, { signal });
  for (const each of scenes) each.addEventListener("map", () => requestAnimationFrame(bar));
  for (const what of ["theme", "marks"]) changes.addEventListener(what, () => { marks.checked = settings.marks; bar(); }, { signal });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", bar, { signal });
  scene.addEventListener("tool", () => { tool(); stage.draw(); });
  draw(); where(); bar(); tool();
  return h("div", { class: "transport" }, h("div", { class: "group" }, play, time, loop), zoom, toolBar, field("Volume", volume, { class: "field volume" }), layer, failure);
}
