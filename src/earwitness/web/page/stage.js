// The lanes of one recording, one below the other on one axis of time: waveform, log-mel with the evidence over it,
// scores; a cursor through all of them.

import { isAbort, numbers } from "./api.js";
import { drawFrequencies, drawTimes, hertzOfShare } from "./axes.js";
import { h, oncePerFrame, put, unique, visible } from "./dom.js";
import { Evidence } from "./evidence.js";
import { score, seconds, short } from "./format.js";
import { gestures, scrolling, stageKeys } from "./gestures.js";
import { drawScores, drawWaveform, limits, tracks } from "./lanes.js";
import { drawMarks } from "./marks.js";
import { nearest } from "./scene.js";
import { Spectrogram } from "./spectrogram.js";
import { changes, isDark, settings } from "./store.js";
import { Tiles } from "./tiles.js";

const MOST_POINTS = 60; // of a lasso

export class Stage {
  constructor(scene, { describedBy, label }) {
    this.scene = scene;
    this.drawing = null;
    this.own = unique("stage");
    this.build(describedBy, label);
    this.load();
    this.wire();
  }

  build(describedBy, label) {
    const canvas = (className) => h("canvas", { class: className, "aria-hidden": "true" });
    Object.assign(this, { wave: canvas("wave"), sound: canvas("sound"), colours: canvas("colours"), outlines: canvas("outlines"), curve: canvas("curve") });
    this.svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    this.svg.setAttribute("class", "marks");
    this.svg.setAttribute("aria-hidden", "true");
    this.picture = h("div", { class: "picture", role: "img", "aria-label": label, "aria-describedby": describedBy }, this.sound, this.colours, this.outlines, this.svg);
    this.waveBox = h("div", { class: "plot" }, this.wave);
    this.curveBox = h("div", { class: "plot pick", role: "slider", tabindex: "0", "aria-label": "Segment: scores over time", "aria-valuemin": "1", "aria-valuemax": String(Math.max(1, this.scene.recording.segments.count)), "aria-valuenow": "1" }, this.curve);
    this.frequencies = h("div", { class: "gutter frequencies", "aria-hidden": "true" });
    this.times = h("div", { class: "plot times", "aria-hidden": "true" });
    this.legend = h("div", { class: "legend" });
    this.cursor = h("div", { class: "cursor" });
    this.looped = h("div", { class: "looped", hidden: true });
    this.scale = h("div", { class: "gutter scale", "aria-hidden": "true" });
    this.thumb = h("span");
    this.scroller = h("div", { class: "scroller", "aria-hidden": "true" }, this.thumb);
    this.element = h("div", { class: "stage stage-keys", role: "group", tabindex: "0", "aria-label": `Lanes of ${label}: arrow keys move the cursor, plus and minus zoom, shift and arrows move the view` },
      h("div", { class: "lane wave-lane" }, h("div", { class: "gutter" }), this.waveBox),
      h("div", { class: "lane" }, h("div"), this.scroller),
      h("div", { class: "lane picture-lane" }, this.frequencies, this.picture),
      h("div", { class: "lane times-lane" }, h("div", { class: "gutter" }), this.times),
      h("div", { class: "lane curve-lane" }, this.scale, this.curveBox),
      h("div", { class: "over", "aria-hidden": "true" }, this.looped, this.cursor));
  }

  load() {
    const { scene } = this;
    const { view, signal, path } = scene;
    const { grid } = scene.collection;
    const width = () => this.picture.clientWidth * (window.devicePixelRatio || 1);
    this.mel = new Tiles({ path: `${path}/log-mel`, view, finest: grid.frame_seconds, width, signal });
    this.sounding = new Tiles({ path: `${path}/waveform`, view, finest: 1 / grid.sample_rate, width, signal });
    this.spectrogram = new Spectrogram(this.sound, this.mel, view, grid.silence);
    this.evidence = new Evidence(this.colours, this.outlines, view, grid);
    this.scores = null;
    const failed = (error) => { if (!isAbort(error)) put(this.times, h("span", { class: "failure" }, error.message)); };
    this.mel.ready.then(() => this.element.classList.add("ready"), failed);
    this.sounding.ready.catch(failed);
    if (!scene.recording.scoring) numbers(`${path}/scores`, signal).then((found) => { this.scores = limits(found); put(this.scale, [short(this.scores.most), "score", short(this.scores.least)].map((each) => h("span", {}, each))); this.draw(); }, failed);
  }

  wire() {
    const { scene, element } = this;
    const { view, player, signal } = scene;
    this.draw = oncePerFrame(() => this.drawAll());
    for (const tiles of [this.mel, this.sounding]) tiles.addEventListener("arrived", this.draw);
    view.addEventListener("change", this.draw, { signal });
    scene.addEventListener("map", () => { this.evidence.show(scene.map, scene.values); this.draw(); });
    for (const what of ["question", "edits", "marks", "effect"]) scene.addEventListener(what, this.draw);
    for (const what of ["theme", "opacity", "marks"]) changes.addEventListener(what, this.draw, { signal });
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", this.draw, { signal });
    const size = new ResizeObserver(this.draw);
    size.observe(element);
    signal.addEventListener("abort", () => size.disconnect());
    for (const what of ["position", "source", "loop"]) player.addEventListener(what, () => this.moveCursor(), { signal });
    const seek = (at) => player.seek(at);
    gestures(this.waveBox, view, { seek });
    gestures(this.picture, view, { seek, tool: (event) => (event.shiftKey ? "lasso" : scene.tool), draw: (...given) => this.drawn(...given) });
    scrolling(this.scroller, view);
    gestures(this.curveBox, view, { seek: (at) => this.pick(at) });
    stageKeys(element, view, player);
    this.curveBox.addEventListener("keydown", (event) => this.step(event));
    this.draw();
  }

  drawAll() {
    if (!this.element.isConnected) return;
    const { scene } = this;
    const dark = isDark();
    this.spectrogram.colours(!scene.map, dark);
    this.spectrogram.draw();
    this.evidence.draw({ dark, opacity: settings.opacity, marks: settings.marks });
    scene.marked = settings.marks;
    drawMarks(this.svg, scene, this.drawing, this.own);
    drawWaveform(this.wave, this.sounding, scene.view);
    drawScores(this.curve, scene, this.scores, scene.segment);
    drawFrequencies(this.frequencies, scene.collection.grid, this.picture.clientHeight);
    drawTimes(this.times, scene.view.start, scene.view.end, this.times.clientWidth);
    this.scroller.classList.toggle("whole", scene.view.isWhole);
    this.thumb.style.left = `${(100 * scene.view.start) / scene.view.seconds}%`;
    this.thumb.style.width = `${(100 * scene.view.length) / scene.view.seconds}%`;
    this.picture.classList.toggle("drawing", scene.tool !== "pan");
    this.describeSegment();
    this.drawLegend();
    this.moveCursor();
  }

  moveCursor() {
    const { view, player } = this.scene;
    const width = this.picture.clientWidth;
    this.follow();
    const x = view.x(player.shown, width);
    this.cursor.style.transform = `translateX(${x}px)`;
    this.cursor.hidden = x < 0 || x > width;
    const { loop } = player;
    this.looped.hidden = !loop;
    if (!loop) return;
    const from = Math.max(0, view.x(loop.start, width)), to = Math.min(width, view.x(loop.end, width));
    this.looped.style.transform = `translateX(${from}px)`;
    this.looped.style.width = `${Math.max(0, to - from)}px`;
  }

  // What plays out of sight is followed; who looks elsewhere meanwhile is left there.
  follow() {
    const { view, player } = this.scene;
    const at = player.shown;
    const inside = at >= view.start && at <= view.end;
    if (player.playing && !inside && this.wasInside && at - view.end < 1) view.set(at, at + view.length);
    this.wasInside = at >= view.start && at <= view.end;
  }

  drawLegend() {
    const chosen = this.scene.segment;
    const all = tracks(this.scene);
    const key = JSON.stringify([all, chosen, Boolean(this.scores), Boolean(this.scene.effect)]);
    if (key === this.legendKey) return;
    this.legendKey = key;
    put(this.legend, all.map((track) => {
      const value = this.scores && chosen !== null ? score(this.scores.values[chosen * this.scores.columns + track.index]) : "";
      return h("span", { class: `track track-${track.variable.slice(-1)}` }, h("span", { class: "line", "aria-hidden": "true" }), h("bdi", {}, visible(track.class)), ` (${track.role})`, value && ` ${value}`);
    }), this.scene.effect ? h("span", { class: "track what-if-line" }, h("span", { class: "line", "aria-hidden": "true" }), "what if: ", h("bdi", {}, visible(this.scene.recording.predicted))) : null);
  }

  // ---- segments ----

  pick(at) {
    const { start_seconds: starts, length_seconds: length } = this.scene.recording.segments;
    if (!starts.length) return;
    this.choose(nearest(starts, at - length / 2));
  }

  choose(place) {
    const { scene } = this;
    const { start_seconds: starts, length_seconds: length } = scene.recording.segments;
    const index = Math.min(Math.max(place, 0), starts.length - 1);
    scene.view.reveal(starts[index], starts[index] + length);
    scene.player.seek(starts[index]);
    scene.question.at = starts[index] + length / 2;
    scene.say("segment");
    this.describeSegment();
    this.draw();
  }

  step(event) {
    const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: 1, ArrowDown: -1, PageUp: 10, PageDown: -10, Home: -Infinity, End: Infinity }[event.key];
    if (by === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    const last = this.scene.recording.segments.start_seconds.length - 1;
    this.choose(by === -Infinity ? 0 : by === Infinity ? last : (this.scene.segment ?? (by > 0 ? -1 : 1)) + by);
  }

  describeSegment() {
    const place = this.scene.segment;
    const starts = this.scene.recording.segments.start_seconds;
    this.curveBox.setAttribute("aria-valuenow", String((place ?? 0) + 1));
    this.curveBox.setAttribute("aria-valuetext", place === null ? "no segment chosen" : `segment ${place + 1} of ${starts.length}, at ${seconds(starts[place])}`);
  }

  // ---- shapes ----

  drawn(phase, points, tool) {
    const { scene } = this;
    this.drawing = phase === "move" ? this.shape(points, tool) : null;
    if (phase === "move") scene.dispatchEvent(new CustomEvent("drawing", { detail: this.drawing }));
    if (phase === "end") scene.dispatchEvent(new CustomEvent("drawn", { detail: this.shape(points, tool) }));
    if (phase === "cancel") scene.dispatchEvent(new CustomEvent("drawing", { detail: null }));
    this.draw();
  }

  shape(points, tool) {
    const { scene, picture } = this;
    const { clientWidth: width, clientHeight: height } = picture;
    const at = ([x, y]) => [scene.view.at(x, width), hertzOfShare(scene.collection.grid, 1 - y / height)];
    const how = { action: scene.action ?? "hide", decibels: scene.decibels ?? -20 };
    if (tool === "lasso") {
      const step = Math.max(1, Math.ceil(points.length / MOST_POINTS));
      return { shape: "lasso", points: points.filter((_, place) => place % step === 0).map(at), ...how };
    }
    const [one, two] = points.map(at);
    return { shape: "box", start: Math.min(one[0], two[0]), end: Math.max(one[0], two[0]), low: Math.min(one[1], two[1]), high: Math.max(one[1], two[1]), ...how };
  }
}
