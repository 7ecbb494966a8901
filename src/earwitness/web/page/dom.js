// Elements from plain data. Text is always a text node: names of files and classes are never read as HTML.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, properties, children) {
  for (const [key, value] of Object.entries(properties ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key === "on") for (const [type, listener] of Object.entries(value)) element.addEventListener(type, listener);
    else if (key === "style") for (const [name, each] of Object.entries(value)) element.style.setProperty(name, each);
    else if (key === "value" || key === "checked" || key === "selected") element[key] = value;
    else element.setAttribute(key, value === true ? "" : value);
  }
  add(element, children);
  return element;
}

function add(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

export const h = (tag, properties, ...children) => fill(document.createElement(tag), properties, children);

export const s = (tag, properties, ...children) => fill(document.createElementNS(SVG, tag), properties, children);

export function put(element, ...children) {
  element.replaceChildren();
  add(element, children);
  return element;
}

// A user's name: isolated, so that one written from right to left turns round nothing beside it.
export const name = (text) => h("bdi", { class: "name" }, visible(text));

// The same, cut in its middle where there is no room: names in a list often differ at their ends alone.
export function middleCut(text, end = 14) {
  const letters = [...new Intl.Segmenter().segment(visible(text))].map((each) => each.segment);
  if (letters.length < 1.5 * end) return name(text);
  return h("bdi", { class: "name cut", style: { "--end": `${end}ch` } }, h("span", {}, letters.slice(0, -end).join("")), letters.slice(-end).join(""));
}

// Control characters would be invisible, and bidirectional overrides would show another name than the file has.
export const visible = (text) => String(text).replace(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, "\u00b7");

export const button = (text, run, properties = {}) =>
  h("button", { type: "button", ...properties, on: { click: run, ...properties.on } }, text);

export const link = (text, href, properties = {}) => h("a", { href, ...properties }, text);

let last = 0;
export const unique = (stem) => `${stem}-${(last += 1)}`;

// A labelled control: the label is what a screen reader says, and is clickable.
export function field(text, control, properties = {}) {
  control.id ||= unique("field");
  return h("div", { class: "field", ...properties }, h("label", { for: control.id }, text), control);
}

export function picker(options, value, changed, properties = {}) {
  const select = h("select", { ...properties, on: { change: () => changed(select.value) } },
    [...new Set(options.map((each) => each.group))].map((group) => {
      const mine = options.filter((each) => each.group === group).map((each) => h("option", { value: each.value }, visible(each.text)));
      return group ? h("optgroup", { label: group }, mine) : mine;
    }));
  select.value = value ?? "";
  return select;
}

// Whether fingers are what one points with: then no words about keys and Shift.
export const isTouch = () => matchMedia("(pointer: coarse)").matches;

// What a screen reader is told of what changed elsewhere on the page.
export function announce(text) {
  const place = document.getElementById("announced");
  if (place) place.textContent = text;
}

// A canvas as sharp as its screen: returns its context in CSS pixels and its size in them.
export function sharp(canvas) {
  const box = canvas.getBoundingClientRect();
  const ratio = window.devicePixelRatio || 1;
  const width = Math.max(1, Math.round(box.width * ratio));
  const height = Math.max(1, Math.round(box.height * ratio));
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, width, height);
  context.scale(ratio, ratio);
  return { context, width: box.width, height: box.height, ratio };
}

// Runs once a frame, however often it is asked.
export function oncePerFrame(run) {
  let waiting = 0;
  return () => {
    if (waiting) return;
    waiting = requestAnimationFrame(() => { waiting = 0; run(); });
  };
}

export function later(run, milliseconds) {
  let timer = 0;
  const wait = (...given) => { clearTimeout(timer); timer = setTimeout(run, milliseconds, ...given); };
  wait.cancel = () => clearTimeout(timer);
  return wait;
}
