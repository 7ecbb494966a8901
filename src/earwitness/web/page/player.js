// Sound, and where in the recording it is: one clock for cursors, loops and gapless switching.
//
// A source is one or several tracks of equal length that begin somewhere in the recording. They run in step, and a
// switch fades from one to the other without a gap. Recordings too long to decode at once play through a media element.

import { bytes } from "./api.js";
import { settings } from "./store.js";

const FADE = 0.01; // seconds: a switch neither clicks nor leaves a gap
const LONGEST_DECODED = 600; // seconds
let context = null; // made at the first sound, as browsers demand

function audio() {
  context ??= new AudioContext();
  return context;
}

export async function decoded(url, signal) { return audio().decodeAudioData(await bytes(url, signal)); }

export class Player extends EventTarget {
  constructor(signal) {
    super();
    Object.assign(this, { source: null, track: 0, place: 0, loop: null, running: null, request: 0 });
    signal?.addEventListener("abort", () => { this.pause(); this.element?.removeAttribute("src"); });
  }

  // A recording by its address; decoded when it is first played.
  recording(url, seconds, { stream = false } = {}) {
    this.main = { url, start: 0, seconds, stream, tracks: null };
    this.use(this.main);
  }

  // Another source, such as the three sounds of a map: {start, seconds, tracks: [AudioBuffer]}.
  use(source, track = 0) {
    const going = this.playing;
    const at = this.position;
    this.pause();
    this.source = source ?? this.main;
    this.track = Math.min(track, (this.source.tracks?.length ?? 1) - 1);
    this.place = this.within(at) ? at : this.source.start;
    this.say("source");
    if (going) this.play(this.place);
  }

  get playing() { return this.running !== null; }

  get end() { return this.source.start + this.source.seconds; }

  within(seconds) { return seconds >= this.source.start && seconds <= this.end - 0.01; }

  get position() {
    const { running } = this;
    if (!running) return this.place;
    if (running.element) return running.element.currentTime;
    const passed = Math.max(0, context.currentTime - running.begun - (context.outputLatency || 0));
    const at = running.from + passed;
    if (!running.loop || at < running.loop.end) return Math.min(at, this.end);
    const { start, end } = running.loop;
    return start + ((at - start) % (end - start));
  }

  // The position of this frame: all that is drawn in it shows the same.
  get shown() { return this.running ? this.frame : this.place; }

  async play(from = this.place) {
    this.pause();
    const request = (this.request += 1);
    const { source } = this;
    const loop = this.loop && { start: Math.max(this.loop.start, source.start), end: Math.min(this.loop.end, this.end) };
    const looping = loop && loop.end - loop.start > 0.02 ? loop : null;
    if (looping && (from < looping.start || from >= looping.end)) from = looping.start;
    if (!this.within(from)) from = looping?.start ?? source.start;
    this.place = from;
    if (source.stream || (source.url && source.seconds > LONGEST_DECODED)) { await this.stream(from, looping, request); return; }
    this.say("waiting");
    audio();
    if (context.state === "suspended") await context.resume();
    if (!source.tracks) source.tracks = [await (source.decoding ??= decoded(source.url).catch((error) => { source.decoding = null; throw error; }))];
    if (request !== this.request) return; // paused, or something else was chosen meanwhile
    this.begin(from, looping);
  }

  begin(from, loop) {
    const { source } = this;
    const when = context.currentTime + 0.02; // all tracks begin at one moment that has not passed yet
    const volume = context.createGain();
    volume.gain.value = settings.volume;
    volume.connect(context.destination);
    const parts = source.tracks.map((buffer, index) => {
      const node = context.createBufferSource();
      const gain = context.createGain();
      node.buffer = buffer;
      if (loop) Object.assign(node, { loop: true, loopStart: loop.start - source.start, loopEnd: Math.min(loop.end - source.start, buffer.duration) });
      gain.gain.value = 0;
      if (index === this.track) gain.gain.setTargetAtTime(1, when, FADE / 3);
      node.connect(gain).connect(volume);
      node.start(when, Math.max(0, from - source.start));
      return { node, gain };
    });
    const running = { parts, volume, from, loop, begun: when };
    parts[0].node.onended = () => { if (this.running === running) this.ended(); };
    this.running = running;
    this.frame = from;
    this.say("state");
    this.tick();
  }

  // Hours of sound: the browser fetches what it needs. Its clock is coarser, and loops are by seeking.
  async stream(from, loop, request) {
    const element = (this.element ??= new Audio());
    if (!element.src.endsWith(this.source.url)) element.src = this.source.url;
    element.volume = settings.volume;
    element.currentTime = from;
    await element.play();
    if (request !== this.request) { element.pause(); return; }
    this.running = { element, loop };
    this.frame = from;
    element.onended = () => this.ended();
    this.say("state");
    this.tick();
  }

  // The same moment of another track.
  select(track) {
    if (track === this.track) return;
    this.track = track;
    for (const [index, { gain }] of (this.running?.parts ?? []).entries()) {
      gain.gain.cancelScheduledValues(context.currentTime);
      gain.gain.setTargetAtTime(index === track ? 1 : 0, context.currentTime, FADE / 3);
    }
    this.say("track");
  }

  setVolume(value) {
    if (this.running?.volume) this.running.volume.gain.setTargetAtTime(value, context.currentTime, FADE);
    if (this.element) this.element.volume = value;
  }

  pause() {
    this.request += 1;
    const { running } = this;
    if (!running) return;
    this.place = this.position;
    this.running = null;
    if (running.element) running.element.pause();
    else silence(running);
    this.say("state");
  }

  ended() {
    this.running = null;
    this.place = this.source.start;
    this.say("state");
    this.say("ended");
    this.say("position");
  }

  async toggle() {
    if (this.playing) this.pause(); else await this.play(this.place >= this.end - 0.02 ? this.source.start : this.place);
  }

  seek(seconds) {
    const at = Math.min(Math.max(seconds, 0), Math.max(0, this.main.seconds - 0.001));
    const going = this.playing;
    if (!this.within(at)) this.use(this.main);
    this.pause();
    this.place = at;
    if (this.loop && (at < this.loop.start || at > this.loop.end)) this.setLoop(null);
    if (going) this.play(at);
    this.say("position");
  }

  setLoop(loop) {
    this.loop = loop;
    const going = this.playing;
    if (loop && (loop.start < this.source.start || loop.end > this.end + 0.01)) this.use(this.main);
    if (going) this.play(this.position);
    this.say("loop");
  }

  tick() {
    const { running } = this;
    if (!running) return;
    if (running.element && running.loop && running.element.currentTime >= running.loop.end) running.element.currentTime = running.loop.start;
    else if (running.element && running.element.currentTime >= this.end) { running.element.pause(); this.ended(); return; }
    this.frame = this.position;
    this.say("position");
    requestAnimationFrame(() => { if (this.running === running) this.tick(); });
  }

  say(what) { this.dispatchEvent(new Event(what)); }
}

function silence({ parts, volume }) {
  parts[0].node.onended = null;
  volume.gain.cancelScheduledValues(context.currentTime);
  volume.gain.setTargetAtTime(0, context.currentTime, FADE / 3);
  for (const { node } of parts) node.stop(context.currentTime + 2 * FADE);
}
