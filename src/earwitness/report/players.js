"use strict";
// Plays what the classifier was given, only the evidence, and all without it, with a cursor over the picture.

const SOUNDS = ["original", "kept", "removed"];
const FADE = 0.01; // seconds: switching sounds does not click
let context = null; // made at the first play, as browsers demand
let playing = null; // the one player that sounds

const score = (value) =>
  value > 0 && value < 0.005 ? "< 0.01" : value < 1 && value >= 0.995 ? "> 0.99" : value.toFixed(2);

class Player {
  constructor(root) {
    const content = JSON.parse(root.querySelector("script").textContent);
    this.root = root;
    this.stretches = content.stretches;
    this.stage = root.closest("figure").querySelector(".stage");
    this.decoded = new Map();
    this.source = null;
    this.request = 0;
    this.position = 0; // seconds from the stretch's beginning
    for (const name of ["play", "stretch", "map", "at", "time", "repeat", "target"]) {
      this[name] = root.querySelector(`.${name}`);
    }
    this.choices = [...root.querySelectorAll("input[type=radio]")];
    this.outputs = [...root.querySelectorAll("output.score")];
    this.stretches.forEach((each, index) => this.stretch.add(new Option(each.title, index)));
    this.stretch.closest("label").hidden = this.stretches.length < 2;
    this.panels = content.panels.map((panel) => this.addPanel(panel));
    this.play.addEventListener("click", () => this.toggle());
    this.stretch.addEventListener("change", () => this.choose(+this.stretch.value));
    this.map.addEventListener("change", () => this.switchTo());
    this.choices.forEach((choice) => choice.addEventListener("change", () => this.switchTo()));
    this.repeat.addEventListener("change", () => { if (this.source) this.source.loop = this.repeat.checked; });
    this.at.addEventListener("input", () => this.seek((+this.at.value / 1000) * this.current.seconds));
    root.addEventListener("keydown", (event) => this.key(event));
    root.hidden = false;
    // A misclassified recording comes first, whole; what was explained in it is what one wants to see.
    this.choose(Math.max(0, this.stretches.findIndex((each) => each.maps.length)));
  }

  get current() { return this.stretches[+this.stretch.value]; }

  get sound() { return this.choices.find((choice) => choice.checked).value; }

  get chosenMap() { return this.current.maps[+this.map.value]; }

  addPanel(panel) {
    const element = document.createElement("span");
    element.className = "panel";
    for (const side of ["left", "top", "width", "height"]) element.style[side] = `${100 * panel[side]}%`;
    const cursor = document.createElement("span");
    cursor.className = "cursor";
    element.append(cursor);
    element.addEventListener("click", (event) => this.tapped(panel, event, element));
    this.stage.append(element);
    return { ...panel, element, cursor };
  }

  tapped(panel, event, element) {
    const index = this.stretches.findIndex((each) => each.row === panel.row);
    if (index < 0) return;
    const map = this.stretches[index].maps.findIndex((each) => each.place === panel.place);
    if (panel.place !== null && map < 0) return;
    if (index !== +this.stretch.value) this.choose(index);
    if (map >= 0) this.map.value = map;
    this.choices[map >= 0 ? 1 : 0].checked = true;
    const share = event.offsetX / element.clientWidth;
    const seconds = panel.start_seconds + share * (panel.end_seconds - panel.start_seconds) - this.current.start;
    this.update();
    this.start(Math.min(Math.max(0, seconds), this.current.seconds));
  }

  choose(index) {
    const wasPlaying = this.source !== null;
    const title = this.current && this.chosenMap ? this.chosenMap.title : "";
    this.stop();
    this.stretch.value = index;
    this.map.replaceChildren(...this.current.maps.map((each, place) => new Option(each.title, place)));
    const same = this.current.maps.findIndex((each) => each.title === title);
    if (same >= 0) this.map.value = same;
    if (!this.current.maps.length) this.choices[0].checked = true;
    this.root.querySelector(".mapping").hidden = !this.current.maps.length;
    this.root.querySelector(".sounds").hidden = !this.current.maps.length;
    this.position = 0;
    this.update();
    if (wasPlaying) this.start(0);
  }

  switchTo() {
    this.update();
    if (this.source) this.start(this.now());
  }

  update() {
    const map = this.chosenMap;
    this.target.textContent = map ? map.target : "";
    this.outputs.forEach((output, index) => { output.textContent = map ? score(map.scores[index]) : ""; });
    this.draw(this.position);
  }

  // ---- playing ----

  toggle() {
    if (this.source) this.stop();
    else this.start(this.position >= this.current.seconds - 0.01 ? 0 : this.position);
  }

  seek(seconds) {
    this.position = seconds;
    if (this.source) this.start(seconds);
    else this.draw(seconds);
  }

  async start(position) {
    const request = ++this.request;
    if (playing && playing !== this) playing.stop();
    playing = this;
    context ??= new AudioContext();
    if (context.state === "suspended") await context.resume();
    const buffer = await this.buffer();
    if (request !== this.request) return; // something else was chosen meanwhile
    this.silence();
    const source = context.createBufferSource();
    const gain = context.createGain();
    source.buffer = buffer;
    source.loop = this.repeat.checked;
    source.connect(gain).connect(context.destination);
    gain.gain.setValueAtTime(0, context.currentTime);
    gain.gain.linearRampToValueAtTime(1, context.currentTime + FADE);
    source.onended = () => { if (this.source === source) this.ended(); };
    source.start(0, Math.min(position, buffer.duration));
    Object.assign(this, { source, gain, begun: context.currentTime - position });
    this.play.textContent = "\u25A0 Stop";
    this.tick();
  }

  async buffer() {
    const map = this.chosenMap;
    const data = this.sound === "original" || !map ? this.current.original : map[this.sound];
    if (!this.decoded.has(data)) {
      const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
      this.decoded.set(data, await context.decodeAudioData(bytes.buffer));
    }
    return this.decoded.get(data);
  }

  silence() {
    if (!this.source) return;
    const { source, gain } = this;
    source.onended = null;
    gain.gain.setTargetAtTime(0, context.currentTime, FADE / 3);
    source.stop(context.currentTime + 2 * FADE);
    this.source = null;
  }

  stop() {
    this.request += 1;
    if (!this.source) return;
    this.position = this.now();
    this.silence();
    this.play.textContent = "\u25B6 Play";
  }

  ended() {
    this.source = null;
    this.position = 0;
    this.play.textContent = "\u25B6 Play";
    this.draw(0);
  }

  now() {
    const passed = Math.max(0, context.currentTime - this.begun - (context.outputLatency || 0));
    return this.source && this.source.loop ? passed % this.source.buffer.duration : Math.min(passed, this.current.seconds);
  }

  // ---- showing ----

  tick() {
    if (!this.source) return;
    this.position = this.now();
    this.draw(this.position);
    requestAnimationFrame(() => this.tick());
  }

  draw(position) {
    const { row, start, seconds } = this.current;
    const place = this.sound === "original" || !this.chosenMap ? null : this.chosenMap.place;
    this.at.value = Math.round((1000 * position) / seconds);
    this.time.textContent = `${(start + position).toFixed(2)} s`;
    this.at.setAttribute("aria-valuetext", this.time.textContent);
    for (const panel of this.panels) {
      const mine = panel.row === row;
      const share = (start + position - panel.start_seconds) / (panel.end_seconds - panel.start_seconds);
      panel.cursor.hidden = !mine || share < 0 || share > 1;
      panel.cursor.style.left = `${100 * share}%`;
      panel.element.classList.toggle("chosen", mine && panel.place === place);
    }
  }

  key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const target = event.target;
    const step = { "[": -1, "]": 1 }[event.key];
    if (event.key === " " && target.type === "radio") this.toggle();
    else if ("123".includes(event.key) && this.current.maps.length) {
      this.choices[+event.key - 1].checked = true;
      this.switchTo();
    } else if (step) {
      this.choose(Math.min(Math.max(0, +this.stretch.value + step), this.stretches.length - 1));
    } else return;
    event.preventDefault();
  }
}

for (const root of document.querySelectorAll(".player")) new Player(root);
