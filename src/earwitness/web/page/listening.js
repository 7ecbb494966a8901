// Listening: the original, only what the map marks, and all but that, at one loudness, switched without a gap.

import { isAbort, send } from "./api.js";
import { scoreBar } from "./bars.js";
import { button, field, h, isTouch, later, put, visible } from "./dom.js";
import { percent, score } from "./format.js";
import { decoded } from "./player.js";

const SOUNDS = [["original", "Original", "all of the segment"], ["kept", "Kept", "only what the evidence marks"], ["removed", "Removed", "all but the evidence"]];
const TOP = 3;

export function listeningPanel(scene) {
  const { player, signal } = scene;
  let keep = 30, open = false, request = 0, source = null, made = null, from = null;
  const value = h("output", { class: "number" }, `${keep} %`);
  const slider = h("input", { type: "range", min: 5, max: 80, step: 5, value: keep, on: { input: () => { keep = Number(slider.value); value.textContent = `${keep} %`; prepare(); } } });
  const state = h("div", { class: "state", role: "status" });
  const place = h("div", { class: "sounds", role: "radiogroup", "aria-label": "Which sound" });
  const element = h("div", {}, h("p", { class: "quiet" }, "Switch at the same moment: do you hear what the score relies on?"), field(["Keep the strongest ", value, " of the cells"], slider), state, place);

  const ask = async () => {
    const mine = (request += 1);
    const { map } = scene;
    if (!open) return;
    if (!map) { leave(); put(place); put(state, h("p", {}, "First show a map: what it marks can be heard here."), button("To the evidence", () => scene.openTab?.("evidence", true))); return; }
    const key = `${map.id} ${keep}`;
    if (made === key) { enter(); focus(); return; }
    put(state, h("p", { class: "quiet" }, "Preparing the sounds \u2026"));
    try {
      const found = await send("POST", `${scene.path}/listen`, { map: map.id, keep: keep / 100, by: "area" }, signal);
      const tracks = await Promise.all(SOUNDS.map(([each]) => decoded(found.sounds[each], signal)));
      if (mine !== request) return;
      made = key;
      source = { start: found.start_seconds, seconds: tracks[0].duration, tracks };
      put(state, h("p", { class: "quiet" }, `${percent(found.area, 0)} of the cells are kept.`));
      drawSounds(found, map);
      enter();
    } catch (error) {
      if (isAbort(error) || mine !== request) return;
      leave();
      put(place);
      put(state, h("p", { class: "failure" }, error.message), button("Try again", ask));
    }
  };
  const prepare = later(ask, 150);

  const enter = () => {
    if (!source || player.source === source) return;
    player.use(source, SOUNDS.findIndex(([each]) => place.querySelector(`[data-sound=${each}]`)?.checked));
    if (!player.loop) player.setLoop({ start: source.start, end: source.start + source.seconds });
  };
  const leave = () => {
    if (!source || player.source !== source) return;
    const { loop } = player;
    player.use(null);
    if (loop && loop.start === source.start) player.setLoop(null);
  };

  // The sounds are worked with the keys of radio buttons, so these are gone to, once they are there; unless whoever asked
  // for that has gone elsewhere meanwhile.
  function focus() {
    if (from && document.activeElement === from) place.querySelector("input:checked")?.focus();
    from = null;
  }

  function drawSounds(found, map) {
    const before = place.querySelector("input:checked")?.dataset.sound ?? "original";
    if (place.contains(document.activeElement)) from = document.body; // who drops the element in focus is left there
    put(place, SOUNDS.map(([each, text, note], track) => {
      const scores = found.scores[each];
      const mine = scores.find((one) => one.class === map.class)?.score;
      const input = h("input", { type: "radio", name: `sound-${map.id}`, "data-sound": each, checked: each === before, on: { change: () => { enter(); player.select(track); if (!player.playing) player.play().catch(() => {}); } } });
      return h("label", { class: "sound-choice" }, input, h("span", { class: "words" }, h("b", {}, text), h("span", { class: "quiet" }, note)),
        h("span", { class: "own number", title: `score of ${visible(map.class)}` }, score(mine)),
        scoreBar(scene.collection, mine),
        h("span", { class: "best quiet" }, scores.slice(0, TOP).map((one, at) => [at ? ", " : "", h("bdi", {}, visible(one.class)), ` ${score(one.score)}`])));
    }), h("p", { class: "quiet" }, "The number is the score of ", h("bdi", {}, visible(map.class)), ", for this sound cut out of the recording; ", isTouch() ? "tap a sound to switch to it." : "keys: l goes to the sounds; there Space plays, arrows switch."),
    button("\u25b6 Play or pause", () => { enter(); player.toggle(); }, { class: "primary" }));
    player.track = SOUNDS.findIndex(([each]) => each === before);
    focus();
  }

  scene.addEventListener("map", () => { made = null; if (open) prepare(); });
  const toSounds = () => { from = document.activeElement; if (scene.map && made === `${scene.map.id} ${keep}`) focus(); };
  return { element, toSounds, shown: () => { open = true; ask(); }, hidden: () => { open = false; request += 1; from = null; leave(); } };
}
