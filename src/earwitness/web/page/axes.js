// Axes: seconds to the right, hertz upwards on the model's own band scale (each band is as high as the others).

import { h, put } from "./dom.js";
import { hertz } from "./format.js";

const OCTAVES = [62.5, 125, 250, 500, 1000, 2000, 4000, 8000, 16000, 32000];
const STEPS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200];
const LEAST_GAP = 16; // pixels between two frequencies' labels
const LABEL_WIDTH = 64; // pixels that a label of time takes at least

// Where a frequency lies, as a share of the height from below: straight between the bands' edges.
export function shareOfHertz(grid, hz) {
  const edges = grid.band_edges_hz;
  if (hz <= edges[0]) return 0;
  if (hz >= edges[grid.bands]) return 1;
  let low = 0, high = grid.bands;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (edges[middle] <= hz) low = middle; else high = middle;
  }
  return (low + (hz - edges[low]) / (edges[low + 1] - edges[low])) / grid.bands;
}

export function hertzOfShare(grid, share) {
  const place = Math.min(Math.max(share, 0), 1) * grid.bands;
  const band = Math.min(Math.floor(place), grid.bands - 1);
  const edges = grid.band_edges_hz;
  return edges[band] + (place - band) * (edges[band + 1] - edges[band]);
}

function frequencyTicks(grid, height) {
  const ticks = [];
  const edges = grid.band_edges_hz;
  // From above, as the report does: where there is little room, the lowest octaves go.
  for (const hz of OCTAVES.filter((each) => each >= edges[0] && each <= edges[grid.bands]).reverse()) {
    const y = height * (1 - shareOfHertz(grid, hz));
    if (!ticks.length || y - ticks.at(-1).y >= LEAST_GAP) ticks.push({ hz, y, text: hertz(hz) });
  }
  return ticks;
}

export function drawFrequencies(element, grid, height) {
  put(element, h("span", { class: "unit" }, "Hz"), frequencyTicks(grid, height).map((tick) =>
    h("span", { class: "tick", style: { top: `${tick.y}px` } }, tick.text)));
}

function timeTicks(start, end, width) {
  const most = Math.max(1, Math.floor(width / LABEL_WIDTH));
  const step = STEPS.find((each) => (end - start) / each <= most) ?? STEPS.at(-1);
  const ticks = [];
  for (let count = Math.ceil(start / step - 1e-9); count * step <= end + 1e-9; count += 1) {
    ticks.push({ seconds: count * step, x: (width * (count * step - start)) / (end - start), text: clock(count * step, step) });
  }
  return ticks;
}

function clock(seconds, step) {
  const digits = step >= 1 ? 0 : Math.ceil(-Math.log10(step) - 1e-9);
  if (seconds < 60) return seconds.toFixed(digits);
  const minutes = Math.floor(seconds / 60 + 1e-9);
  return `${minutes}:${Math.abs(seconds - 60 * minutes).toFixed(digits).padStart(digits ? digits + 3 : 2, "0")}`;
}

export function drawTimes(element, start, end, width) {
  put(element, timeTicks(start, end, width).map((tick) =>
    // A label at the very edge would be cut: the tick stays, its text moves in.
    h("span", { class: tick.x < 12 ? "tick first" : tick.x > width - 16 ? "tick last" : "tick", style: { left: `${tick.x}px` } }, tick.text)),
  h("span", { class: "unit" }, "s"));
}
