// Arrays of a recording at several finenesses: all of it coarsely at once, what is looked at as finely as it is shown.
// What is there is drawn at once; what is finer comes when the view has come to rest.

import { isAbort, numbers, query } from "./api.js";
import { later } from "./dom.js";

const REST = 110; // milliseconds
const AROUND = 0.5; // of the view to either side, so that small moves need nothing new

export class Tiles extends EventTarget {
  // finest: seconds of the smallest column there is
  constructor({ path, view, finest, columns = 1600, width, signal }) {
    super();
    Object.assign(this, { path, view, finest, columns, width, signal, base: null, fine: null });
    this.rest = later(() => this.refine(), REST);
    view.addEventListener("change", () => this.rest(), { signal });
    this.ready = this.fetch(0, view.seconds, columns).then((tile) => {
      this.base = tile;
      this.arrived();
      return this.refine();
    });
  }

  async fetch(start, end, columns) {
    const tile = await numbers(`${this.path}${query({ start: start.toFixed(4), end: end.toFixed(4), columns })}`, this.signal);
    tile.start ??= start;
    tile.end ??= end;
    tile.column = (tile.end - tile.start) / tile.rows;
    return tile;
  }

  get shown() { return [this.base, this.fine].filter(Boolean); }

  async refine() {
    const { view } = this;
    const wanted = Math.max(view.length / Math.max(this.width(), 50), this.finest);
    const enough = (tile) => tile && tile.column <= 1.2 * wanted
      && tile.start <= Math.max(view.start, this.finest) + tile.column && tile.end >= Math.min(view.end, view.seconds) - tile.column;
    if (enough(this.base) || enough(this.fine) || !this.base) return;
    const start = Math.max(0, view.start - AROUND * view.length);
    const end = Math.min(view.seconds, view.end + AROUND * view.length);
    const request = (this.request = {});
    try {
      const tile = await this.fetch(start, end, Math.min(4000, Math.ceil((end - start) / wanted)));
      if (request !== this.request) return;
      this.fine = tile;
      this.arrived();
    } catch (error) {
      if (!isAbort(error)) throw error;
    }
  }

  arrived() { this.dispatchEvent(new Event("arrived")); }
}
