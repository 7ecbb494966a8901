// The model's own log-mel as a picture: cell by cell as the server sent it, never smoothed and never computed here.

import { level, sound, soundLimits } from "./colours.js";
import { sharp } from "./dom.js";

// A tile as a picture with one pixel a cell; low bands lie below.
export function picture({ values, rows, columns }, [low, high], colours) {
  const image = new ImageData(rows, columns);
  const pixels = new Uint32Array(image.data.buffer);
  for (let row = 0; row < rows; row += 1) {
    for (let band = 0; band < columns; band += 1) {
      pixels[(columns - 1 - band) * rows + row] = colours[level(values[row * columns + band], low, high)];
    }
  }
  const canvas = document.createElement("canvas");
  canvas.width = rows;
  canvas.height = columns;
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

export class Spectrogram {
  constructor(canvas, tiles, view, silence) {
    Object.assign(this, { canvas, tiles, view, silence, limits: null, drawn: new WeakMap(), plain: true, dark: false });
  }

  // Without evidence over it sound has its colours; with evidence it is grey.
  colours(plain, dark) {
    if (plain === this.plain && dark === this.dark) return;
    Object.assign(this, { plain, dark, drawn: new WeakMap() });
  }

  draw() {
    const { context, width, height } = sharp(this.canvas);
    if (!this.tiles.base) return;
    this.limits ??= soundLimits(this.tiles.base.values, this.silence);
    context.imageSmoothingEnabled = false;
    for (const tile of this.tiles.shown) {
      if (tile.end < this.view.start || tile.start > this.view.end) continue;
      if (!this.drawn.has(tile)) this.drawn.set(tile, picture(tile, this.limits, sound(this.plain, this.dark)));
      const left = this.view.x(tile.start, width), right = this.view.x(tile.end, width);
      // Only the cells in sight: a picture stretched a hundredfold would lose their exact edges.
      const first = Math.max(0, Math.floor((this.view.start - tile.start) / tile.column));
      const last = Math.min(tile.rows, Math.ceil((this.view.end - tile.start) / tile.column));
      if (last <= first) continue;
      const cell = (right - left) / tile.rows;
      context.drawImage(this.drawn.get(tile), first, 0, last - first, tile.columns, left + first * cell, 0, (last - first) * cell, height);
    }
  }
}
