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
  const line = (values, colour, dash) => {
    context.strokeStyle = context.fillStyle = colour;
    context.lineWidth = 1.75;
    context.setLineDash(dash);
    context.beginPath();
    values.forEach(([seconds, value], place) => context[place ? "lineTo" : "moveTo"](view.x(seconds + length / 2, width), y(value)));
    context.stroke();
    context.setLineDash([]);
  };
  // A segment's score stands at its middle: segments overlap, and so would their spans.
  const middles = starts.map((start) => view.x(start + length / 2, width));
  const dots = middles.length < 2 || (middles[1] - middles[0]) > 9;
  for (const track of [...tracks(scene)].reverse()) {
    line(starts.map((start, place) => [start, scores.values[place * scores.columns + track.index]]), style(canvas, track.variable), track.dash);
    if (!dots) continue;
    middles.forEach((x, place) => {
      context.beginPath();
      context.arc(x, y(scores.values[place * scores.columns + track.index]), place === chosen ? 4 : 2.2, 0, 7);
      context.fill();
    });
  }
  const { effect } = scene;
  if (effect) line(effect.segments.start_seconds.map((start, place) => [start, effect.segments.after[place]]), style(canvas, "--cursor"), [1, 3]);
}

export const limits = (scores) => {
  let least = 0, most = 1; // of probabilities; other scores go beyond
  for (const value of scores.values) { if (value < least) least = value; if (value > most) most = value; }
  return Object.assign(scores, { least, most });
};
