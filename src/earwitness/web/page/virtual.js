// A list of any length of which only the rows in sight exist.

import { h, oncePerFrame } from "./dom.js";

const SPARE = 4; // rows beyond the edges, so that scrolling shows no gaps
const TALLEST = 8_000_000; // pixels: browsers draw no taller element

export class VirtualList {
  // make(index) -> {element, drop()} for a row; the list places it
  constructor({ height, make, label, columns, onRange }) {
    Object.assign(this, { height, make, onRange, total: 0, selected: 0, rows: new Map() });
    this.body = h("div", { class: "rows", role: "rowgroup" });
    this.element = h("div", { class: "virtual", role: "grid", tabindex: "0", "aria-label": label, "aria-colcount": String(columns), "aria-rowcount": "0" }, this.body);
    this.draw = oncePerFrame(() => this.drawAll());
    this.element.addEventListener("scroll", this.draw, { passive: true });
    this.size = new ResizeObserver(this.draw);
    this.size.observe(this.element);
  }

  drop() {
    this.size.disconnect();
    this.clear();
  }

  clear() {
    for (const row of this.rows.values()) { row.drop?.(); row.element.remove(); }
    this.rows.clear();
  }

  reset(total) {
    const { scrollTop } = this.element;
    this.clear();
    this.total = total;
    this.element.setAttribute("aria-rowcount", String(total));
    this.body.style.height = `${Math.min(TALLEST, total * this.height)}px`;
    this.element.scrollTop = Math.max(scrollTop, (this.selected - 3) * this.height);
    this.draw();
  }

  get range() {
    const { scrollTop, clientHeight } = this.element;
    const first = Math.floor(scrollTop / this.height) - SPARE;
    return [Math.max(0, first), Math.min(this.total, Math.ceil((scrollTop + clientHeight) / this.height) + SPARE)];
  }

  drawAll() {
    const [first, last] = this.range;
    for (const [index, row] of this.rows) {
      if (index >= first && index < last) continue;
      row.drop?.();
      row.element.remove();
      this.rows.delete(index);
    }
    for (let index = first; index < last; index += 1) if (!this.rows.has(index)) this.place(index);
    this.element.setAttribute("aria-activedescendant", this.rows.get(this.selected)?.element.id ?? "");
    if (!this.rows.has(this.selected)) this.element.removeAttribute("aria-activedescendant");
    this.onRange?.(first, last);
  }

  place(index) {
    this.rows.get(index)?.drop?.();
    const old = this.rows.get(index)?.element;
    const row = this.make(index);
    row.element.style.transform = `translateY(${index * this.height}px)`;
    row.element.setAttribute("aria-rowindex", String(index + 1));
    row.element.setAttribute("aria-selected", String(index === this.selected));
    this.rows.set(index, row);
    if (old) old.replaceWith(row.element); else this.body.append(row.element);
  }

  // Draws rows anew whose content has come or changed.
  renew(from = 0, to = this.total) {
    for (const index of [...this.rows.keys()]) if (index >= from && index < to) this.place(index);
  }

  select(index) {
    const to = Math.min(Math.max(index, 0), this.total - 1);
    if (to < 0) return;
    this.rows.get(this.selected)?.element.setAttribute("aria-selected", "false");
    this.selected = to;
    const { scrollTop, clientHeight } = this.element;
    if (to * this.height < scrollTop) this.element.scrollTop = to * this.height;
    else if ((to + 1) * this.height > scrollTop + clientHeight) this.element.scrollTop = (to + 1) * this.height - clientHeight;
    this.rows.get(to)?.element.setAttribute("aria-selected", "true");
    this.drawAll();
  }
}
