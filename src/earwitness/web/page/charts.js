// Charts of a run: the training curve, and accuracies with their intervals.

import { h, s } from "./dom.js";
import { percent, short } from "./format.js";

const WIDTH = 640, HEIGHT = 220, LEFT = 44, RIGHT = 12, TOP = 12, BOTTOM = 30;

function nice(high, low = 0) {
  const step = [0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 1e4, 2e4, 5e4, 1e5].find((each) => (high - low) / each <= 6) ?? (high - low) / 5;
  const ticks = [];
  for (let count = Math.ceil(low / step - 1e-9); count * step <= high + 1e-9; count += 1) ticks.push(count * step);
  return ticks.map((value) => Number(value.toPrecision(12))); // as they are written: 3 * 0.1 is not quite 0.3
}

// lines: [{x: [], y: [], className, text}]
function chart(lines, { low, high, format, label, unit }) {
  const last = Math.max(...lines.flatMap((line) => line.x), 1), first = Math.min(...lines.flatMap((line) => line.x));
  const x = (value) => LEFT + ((WIDTH - LEFT - RIGHT) * (value - first)) / Math.max(1, last - first);
  const y = (value) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - (value - low) / (high - low));
  return s("svg", { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label },
    nice(high, low).map((value) => [s("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value) }), s("text", { class: "tick", x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, format(value))]),
    nice(last, first).filter(Number.isInteger).map((value) => s("text", { class: "tick", x: x(value), y: HEIGHT - 12, "text-anchor": "middle" }, String(value))),
    s("text", { class: "tick", x: WIDTH - RIGHT, y: HEIGHT - 1, "text-anchor": "end" }, unit),
    lines.map((line) => s("path", { class: `line ${line.className}`, d: line.x.map((each, place) => (Number.isFinite(line.y[place]) ? `${place ? "L" : "M"}${x(each).toFixed(1)} ${y(line.y[place]).toFixed(1)}` : "")).join("").replace(/^L/, "M") })),
    lines.filter((line) => line.dots).flatMap((line) => line.x.map((each, place) => s("circle", { class: `dot ${line.className}`, cx: x(each), cy: y(line.y[place]), r: 3 }))));
}

export function trainingCurve(history) {
  if (!history?.iteration?.length) return null;
  const pair = (train, validation) => [
    { x: history.iteration, y: history[train], className: "training" },
    ...(history[validation]?.length ? [{ x: history.validation_iteration, y: history[validation], className: "validation", dots: true }] : []),
  ];
  const last = (values) => values?.at(-1);
  const accuracy = pair("train_accuracy", "validation_accuracy"), loss = pair("train_loss", "validation_loss");
  const key = h("p", { class: "legend" }, h("span", { class: "key training" }, h("span", { class: "line", "aria-hidden": "true" }), "training"), history.validation_iteration?.length ? h("span", { class: "key validation" }, h("span", { class: "line", "aria-hidden": "true" }), "validation") : null);
  return h("div", { class: "curves" }, key,
    h("figure", {}, chart(accuracy, { low: 0, high: 1, format: (value) => `${Math.round(100 * value)} %`, unit: "iteration", label: `Accuracy while training, at the end ${percent(last(history.validation_accuracy) ?? last(history.train_accuracy))}` }), h("figcaption", {}, "Accuracy")),
    h("figure", {}, chart(loss, { low: 0, high: Math.max(...loss.flatMap((line) => line.y).filter(Number.isFinite)) * 1.02 || 1, format: String, unit: "iteration", label: `Loss while training, at the end ${short(last(history.validation_loss) ?? last(history.train_loss) ?? 0)}` }), h("figcaption", {}, "Loss")));
}

// What stands below leads to what was counted.
export function interval(text, given, note, below) {
  if (!given) return null;
  const at = (value) => `${100 * value}%`;
  const known = Number.isFinite(given.low) && Number.isFinite(given.high);
  return h("div", { class: "figure-card" }, h("span", { class: "quiet" }, text), h("b", {}, percent(given.value)),
    known && h("div", { class: "interval", role: "img", "aria-label": `95 % interval from ${percent(given.low)} to ${percent(given.high)}` },
      h("span", { class: "range", style: { left: at(given.low), width: at(given.high - given.low) } }), h("span", { class: "point", style: { left: at(given.value) } })),
    h("span", { class: "quiet" }, [known && `${percent(given.low)} to ${percent(given.high)} (95 %)`, note].filter(Boolean).join(", ")), below);
}
