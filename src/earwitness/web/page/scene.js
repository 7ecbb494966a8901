// One recording under one model: which map is shown, and how it is had. The parts of a view listen to it.

import { isAbort, numbers, paths, send } from "./api.js";
import { announce } from "./dom.js";
import { cancel, Cancelled, follow } from "./jobs.js";

export class Scene extends EventTarget {
  constructor({ collection, recording, view, player, signal }) {
    super();
    Object.assign(this, { collection, recording, view, player, signal, map: null, values: null, job: null, failure: null, asked: 0 });
    Object.assign(this, { edits: [], tool: "pan", chosen: null, question: { method: null, target: null, against: null, at: null } });
    this.path = paths.recording(collection.id, recording.id);
    this.known = new Map(); // values of maps that were shown
  }

  say(what) { this.dispatchEvent(new Event(what)); }

  get usual() { return (this.collection.methods.find((each) => each.default) ?? this.collection.methods[0])?.name ?? null; }

  // The map that is held already and answers the question best.
  held({ method, target, against, at }) {
    const segment = at === null || at === undefined ? null : this.segmentAt(at);
    return this.recording.maps.find((map) =>
      (!method || base(map.method) === base(method)) && (!target || map.class === target)
      && (map.against ?? null) === (against || null) && (segment === null || segment === this.segmentOf(map)));
  }

  // Shows the map that answers, asking for it where it is not held. A later question stands in for an earlier one.
  async choose(question) {
    this.question = { ...this.question, ...question };
    // Another method or class is asked of the same segment, so that the maps can be compared.
    if (this.map && base(this.map.method) !== WHOLE) this.question.at ??= middle(this.map, this.map.method);
    const asked = (this.asked += 1);
    if (this.job) cancel(this.job.id);
    Object.assign(this, { failure: null, job: null });
    this.say("question");
    const { method, target, against, at } = this.question;
    const body = { method: method ?? this.usual, target: target || this.recording.predicted, against: against || null, at: base(method ?? "") === WHOLE ? null : at };
    try {
      const map = this.held({ ...body }) ?? await this.request({ ...body, verdict: false }, asked);
      if (asked !== this.asked) return;
      await this.show(map, asked);
      if (map.verdict || map.whole || asked !== this.asked) return; // all of a recording has no verdict
      const judged = await this.request({ ...body, at: body.at ?? middle(map, body.method), verdict: true }, asked);
      if (asked === this.asked) await this.show(judged, asked);
    } catch (error) {
      if (isAbort(error) || error instanceof Cancelled || asked !== this.asked) return;
      this.failure = error.message;
      this.say("map");
      announce(error.message);
    }
  }

  async request(body, asked) {
    const answer = await send("POST", `${this.path}/maps`, body, this.signal);
    if (answer.map) return answer.map;
    const changed = (job) => { if (asked === this.asked) { this.job = job; this.say("job"); } };
    const stop = () => cancel(answer.job.id);
    this.signal.addEventListener("abort", stop);
    try {
      return (await follow(answer.job, changed)).map;
    } finally {
      this.signal.removeEventListener("abort", stop);
      if (asked === this.asked) { this.job = null; this.say("job"); }
    }
  }

  async show(map, asked = (this.asked += 1)) {
    if (!this.known.has(map.id)) this.known.set(map.id, await numbers(`/api/maps/${map.id}/values`, this.signal));
    if (asked !== this.asked) return;
    const maps = this.recording.maps;
    const old = maps.findIndex((each) => each.id === map.id || (each.method === map.method && each.target === map.target && each.start_seconds === map.start_seconds));
    if (old >= 0) maps[old] = map; else maps.push(map);
    const isNew = this.map?.id !== map.id;
    this.map = map;
    this.values = this.known.get(map.id);
    this.question = { method: base(map.method), target: map.class, against: map.against ?? null, at: this.question.at };
    this.say("map");
    if (isNew) announce(`${map.title} for ${map.target}: ${map.text}`);
  }

  hide() {
    this.asked += 1;
    if (this.job) cancel(this.job.id);
    Object.assign(this, { map: null, values: null, job: null, failure: null });
    this.say("map");
  }

  // Which segment is looked at: the map's, or the one that was chosen.
  get segment() {
    const { at } = this.question;
    if (at !== null) return this.segmentAt(at);
    return this.map && base(this.map.method) !== WHOLE ? this.segmentOf(this.map) : null;
  }

  segmentAt(at) {
    const { start_seconds: starts, length_seconds: length } = this.recording.segments;
    return starts.length ? nearest(starts, at - length / 2) : null;
  }

  // The seconds of what a map explains, as segments are told elsewhere: the edges of its cells lie half a frame beside them.
  extentOf(map) {
    const { start_seconds: starts, length_seconds: length } = this.recording.segments;
    const start = starts[this.segmentOf(map)];
    if (map.whole || !(Math.abs(start - map.start_seconds) < length / 20)) return [map.start_seconds, map.end_seconds];
    return [start, Math.min(start + length, this.recording.seconds)];
  }

  segmentOf(map) { return this.segmentAt((map.start_seconds + map.end_seconds) / 2); }
}

export const WHOLE = "whole"; // the method that explains all of a recording

// A method's name without its settings: "lime:samples=512" is LIME.
export const base = (method) => String(method).split(":")[0];

const middle = (map, method) => (base(method) === WHOLE ? null : (map.start_seconds + map.end_seconds) / 2);

export function nearest(starts, at) {
  let best = 0;
  for (let place = 1; place < starts.length; place += 1) {
    if (Math.abs(starts[place] - at) < Math.abs(starts[best] - at)) best = place;
  }
  return best;
}
