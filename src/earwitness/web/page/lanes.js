// The lanes beside the log-mel: the waveform, the scores over time, and the detections.

import { sharp } from "./dom.js";

const style = (element, property) => getComputedStyle(element).getPropertyValue(property).trim();

export function drawWaveform(canvas, tiles, view) {
  const { context, width, height } = sharp(canvas);
  const tile = tiles.fine && tiles.fine.start <= view.start + 1e-3 && tiles.fine.end >= view.end - 1e-3 ? tiles.fine : tiles.base;
  if (!tile) return;
  // The loudest moment of all fills the lane, so that a quiet recording is seen too.
  const loudest = (tiles.loudest ??= Math.max(1e-4, ...Array.from(tiles.base.values, Math.abs)));
  const middle = height / 2, scale = (0.94 * middle) / loudest;
  context.fillStyle = style(canvas, "--wave");
  const first = Math.max(0, Math.floor((view.start - tile.start) / tile.column) - 1);
  const last = Math.min(tile.rows, Math.ceil((view.end - tile.start) / tile.column) + 1);
  for (let row = first; row < last; row += 1) {
    const x = view.x(tile.start + row * tile.column, width);
    const wide = view.x(tile.start + (row + 1) * tile.column, width) - x;
    const low = tile.values[2 * row], high = tile.values[2 * row + 1];
    context.fillRect(x, middle - high * scale, Math.max(wide, 0.7), Math.max(0.7, (high - low) * scale));
  }
}

// Which classes' scores are drawn, and how each is told from the others without colour.
export function tracks(scene) {
  const { recording, collection } = scene;
  const wanted = [recording.predicted, scene.question.target, scene.question.against, recording.label].filter(Boolean);
  const classes = [...new Set(wanted)].filter((each) => collection.classes.includes(each)).slice(0, 4);
  return classes.map((each, place) => ({
    class: each, index: collection.classes.indexOf(each), dash: [[], [6, 3], [2, 2], [8, 3, 2, 3]][place], variable: `--track-${place + 1}`,
    role: each === recording.predicted ? "predicted" : each === recording.label ? "label" : "chosen",
  }));
}

export function drawScores(canvas, scene, scores, chosen) {
  const { context, width, height } = sharp(canvas);
  const { view } = scene;
  const { start_seconds: starts, length_seconds: length } = scene.recording.segments;
  if (!scores || !starts.length) return;
  const { least: low, most: high } = scores;
  const y = (value) => 4 + (height - 8) * (1 - (value - low) / (high - low));
  context.strokeStyle = style(canvas, "--line");
  context.lineWidth = 1;
  for (const value of [low, (low + high) / 2, high]) { context.beginPath(); context.moveTo(0, y(value)); context.lineTo(width, y(value)); context.stroke(); }
  if (chosen !== null) {
    context.fillStyle = style(canvas, "--frame-soft");
    const from = view.x(starts[chosen], width);
    context.fillRect(from, 0, view.x(starts[chosen] + length, width) - from, height);
  }
  const line = (seconds, value, [first, last], colour, dash) => {
    context.strokeStyle = context.fillStyle = colour;
    context.lineWidth = 1.75;
    context.setLineDash(dash);
    context.beginPath();
    for (let place = first; place < last; place += 1) context[place > first ? "lineTo" : "moveTo"](view.x(seconds[place] + length / 2, width), y(value(place)));
    context.stroke();
    context.setLineDash([]);
  };
  // A segment's score stands at its middle: segments overlap, and so would their spans. Of hours, those in sight are drawn.
  const sight = (seconds) => [Math.max(0, after(seconds, view.start - length / 2) - 1), Math.min(seconds.length, after(seconds, view.end - length / 2) + 1)];
  const span = sight(starts);
  const dots = starts.length < 2 || view.x(starts[1], width) - view.x(starts[0], width) > 9;
  for (const track of [...tracks(scene)].reverse()) {
    const value = (place) => scores.values[place * scores.columns + track.index];
    line(starts, value, span, style(canvas, track.variable), track.dash);
    if (!dots) continue;
    for (let place = span[0]; place < span[1]; place += 1) {
      context.beginPath();
      context.arc(view.x(starts[place] + length / 2, width), y(value(place)), place === chosen ? 4 : 2.2, 0, 7);
      context.fill();
    }
  }
  const { effect } = scene;
  if (effect) line(effect.segments.start_seconds, (place) => effect.segments.after[place], sight(effect.segments.start_seconds), style(canvas, "--cursor"), [1, 3]);
}

// How many of rising numbers are smaller.
function after(numbers, wanted) {
  let low = 0, high = numbers.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (numbers[middle] < wanted) low = middle + 1; else high = middle;
  }
  return low;
}

export const limits = (scores) => {
  let least = 0, most = 1; // of probabilities; other scores go beyond
  for (const value of scores.values) { if (value < least) least = value; if (value > most) most = value; }
  return Object.assign(scores, { least, most });
};
