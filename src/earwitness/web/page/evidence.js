// A map over the log-mel: signed colours for each cell between its own edges, and outlines that say for and against
// without colour: what speaks for the class has a solid outline, what speaks against it is hatched with a dashed one.

import { shareOfHertz } from "./axes.js";
import { AGAINST, FOR, css, evidenceLadder } from "./colours.js";
import { sharp } from "./dom.js";

const MARKED = 0.4; // share of the strongest value from which a cell is outlined
const LEAST_OUTLINED = 10; // pixels

export class Evidence {
  constructor(colours, outlines, view, grid) {
    Object.assign(this, { colours, outlines, view, grid, map: null, values: null });
  }

  show(map, values) {
    this.map = map;
    this.values = values?.values ?? null;
    this.blocked = null;
    if (!this.values) return;
    this.shares = map.frequency_edges.map((hz) => shareOfHertz(this.grid, hz));
  }

  draw({ dark, opacity, marks }) {
    const { context, width, height } = sharp(this.colours);
    const lines = sharp(this.outlines).context;
    if (!this.values) return;
    this.paint(context, dark, opacity);
    if (marks) this.outline(lines, width, height, dark);
  }

  // Each pixel asks in which cell it lies: exact for cells of any width, and as fast for a few as for thousands. Lines of
  // pixels with the same cells are computed once, and stretched.
  paint(context, dark, opacity) {
    const { map, values } = this;
    const { width: whole, height } = this.colours;
    const within = (seconds) => Math.round(Math.min(Math.max(this.view.x(seconds, whole), 0), whole));
    const left = within(map.time_edges[0]), width = within(map.time_edges.at(-1)) - left;
    this.colours.style.opacity = opacity;
    if (width < 1) return;
    const ladder = evidenceLadder(dark);
    const scale = map.strongest > 0 ? 255 / map.strongest : 0;
    const rows = places(width, (x) => this.view.at(left + x + 0.5, whole), map.time_edges);
    const runs = runsOf(places(height, (y) => 1 - (y + 0.5) / height, this.shares));
    const image = context.createImageData(width, Math.max(1, runs.length));
    const pixels = new Uint32Array(image.data.buffer);
    runs.forEach(({ cell }, line) => {
      for (let x = 0; x < width; x += 1) {
        if (rows[x] < 0) continue;
        const share = Math.round(scale * values[rows[x] * map.columns + cell]);
        pixels[line * width + x] = ladder[255 + Math.max(-255, Math.min(255, share))];
      }
    });
    this.lines ??= document.createElement("canvas");
    Object.assign(this.lines, { width, height: image.height });
    this.lines.getContext("2d").putImageData(image, 0, 0);
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.imageSmoothingEnabled = false;
    runs.forEach(({ from, to }, line) => context.drawImage(this.lines, 0, line, width, 1, left, from, width, to - from));
  }

  // Cells too small to be outlined one by one are taken together, a few by a few.
  blocks(width, height) {
    const { map, view } = this;
    const wide = (view.x(map.end_seconds, width) - view.x(map.start_seconds, width)) / map.rows;
    const high = height / map.columns;
    const step = (pixels, most) => { let cells = 1; while (cells * pixels < LEAST_OUTLINED && cells < most) cells *= 2; return cells; };
    const [down, along] = [step(wide, map.rows), step(high, map.columns)];
    const key = `${down} ${along}`;
    if (this.blocked?.key === key) return this.blocked;
    const rows = Math.ceil(map.rows / down), columns = Math.ceil(map.columns / along);
    const means = new Float32Array(rows * columns), counts = new Uint32Array(rows * columns);
    this.values.forEach((value, cell) => {
      const block = Math.floor(Math.floor(cell / map.columns) / down) * columns + Math.floor((cell % map.columns) / along);
      means[block] += value;
      counts[block] += 1;
    });
    means.forEach((sum, block) => { means[block] = sum / counts[block]; });
    const most = means.reduce((size, value) => Math.max(size, Math.abs(value)), 0);
    const edge = (list, place, size) => list[Math.min(place * size, list.length - 1)];
    this.blocked = {
      key, rows, columns, signs: Int8Array.from(means, (value) => (most > 0 && Math.abs(value) >= MARKED * most ? Math.sign(value) : 0)),
      times: Array.from({ length: rows + 1 }, (_, place) => edge(map.time_edges, place, down)), shares: Array.from({ length: columns + 1 }, (_, place) => edge(this.shares, place, along)),
    };
    return this.blocked;
  }

  outline(context, width, height, dark) {
    const { rows, columns, signs, times, shares } = this.blocks(width, height);
    const theme = dark ? "dark" : "light";
    const x = times.map((seconds) => this.view.x(seconds, width));
    const y = shares.map((share) => height * (1 - share));
    const sign = (row, column) => (row < 0 || column < 0 || row >= rows || column >= columns ? 0 : signs[row * columns + column]);
    for (const side of [1, -1]) {
      const path = new Path2D(), cells = new Path2D();
      const line = (...[x1, y1, x2, y2]) => { path.moveTo(x1, y1); path.lineTo(x2, y2); };
      for (let row = 0; row < rows; row += 1) {
        if (x[row + 1] < 0 || x[row] > width) continue;
        for (let column = 0; column < columns; column += 1) {
          if (sign(row, column) !== side) continue;
          const [left, right, bottom, top] = [x[row], x[row + 1], y[column], y[column + 1]];
          cells.rect(left, top, right - left, bottom - top);
          if (sign(row - 1, column) !== side) line(left, bottom, left, top);
          if (sign(row + 1, column) !== side) line(right, bottom, right, top);
          if (sign(row, column - 1) !== side) line(left, bottom, right, bottom);
          if (sign(row, column + 1) !== side) line(left, top, right, top);
        }
      }
      const colour = css((side > 0 ? FOR : AGAINST)[theme]);
      if (side < 0) hatch(context, cells, width, height, colour);
      stroke(context, path, colour, side, dark);
    }
  }
}

function stroke(context, path, colour, side, dark) {
  context.setLineDash([]);
  context.lineWidth = 3;
  context.strokeStyle = dark ? "rgb(0 0 0 / .6)" : "rgb(255 255 255 / .8)";
  context.stroke(path); // a rim, so that the line is seen over any sound
  context.setLineDash(side > 0 ? [] : [4, 3]);
  context.lineWidth = 1.5;
  context.strokeStyle = colour;
  context.stroke(path);
  context.setLineDash([]);
}

function hatch(context, path, width, height, colour, gap = 7) {
  context.save();
  context.clip(path);
  context.beginPath();
  for (let at = -height; at < width; at += gap) { context.moveTo(at, height); context.lineTo(at + height, 0); }
  context.lineWidth = 1;
  context.strokeStyle = colour;
  context.stroke();
  context.restore();
}

// For each pixel the cell between whose edges it lies, or -1.
function places(count, value, edges) {
  const found = new Int32Array(count).fill(-1);
  for (let pixel = 0; pixel < count; pixel += 1) {
    const at = value(pixel);
    let low = 0, high = edges.length - 1;
    if (!(at >= edges[low] && at < edges[high])) continue;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (edges[middle] <= at) low = middle; else high = middle;
    }
    found[pixel] = low;
  }
  return found;
}

// Where neighbours are of one cell: [{cell, from, to}]; what is of none is left out.
function runsOf(cells) {
  const runs = [];
  cells.forEach((cell, place) => {
    if (cell < 0) return;
    if (runs.at(-1)?.cell === cell) runs.at(-1).to = place + 1; else runs.push({ cell, from: place, to: place + 1 });
  });
  return runs;
}

// The bar that says what the colours mean, drawn with the colours themselves.
export function drawBar(canvas, dark) {
  const { context, width, height } = sharp(canvas);
  context.fillStyle = dark ? "rgb(16 18 21)" : "rgb(250 250 248)";
  context.fillRect(0, 0, width, height);
  const theme = dark ? "dark" : "light";
  for (let x = 0; x < width; x += 1) {
    const share = (2 * (x + 0.5)) / width - 1;
    context.fillStyle = css((share < 0 ? AGAINST : FOR)[theme], 0.92 * Math.abs(share) ** 0.8);
    context.fillRect(x, 0, 1, height);
  }
  const against = new Path2D();
  against.rect(0, 0, (width * (1 - MARKED)) / 2, height);
  hatch(context, against, width, height, css(AGAINST[theme]));
}
