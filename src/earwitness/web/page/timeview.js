// The stretch of time that all lanes of a recording show: zoomed and moved as one.

const LEAST = 0.05; // seconds: nearer than this there is nothing more to see

export class TimeView extends EventTarget {
  constructor(seconds, start = 0, end = seconds) {
    super();
    this.seconds = Math.max(seconds, LEAST);
    this.set(start, end);
  }

  get length() { return this.end - this.start; }

  get isWhole() { return this.start <= 0 && this.end >= this.seconds; }

  set(start, end) {
    if (!(Number.isFinite(start) && Number.isFinite(end)) || end <= start) [start, end] = [0, this.seconds];
    const length = Math.min(Math.max(end - start, Math.min(LEAST, this.seconds)), this.seconds);
    const from = Math.min(Math.max(start, 0), this.seconds - length);
    if (from === this.start && from + length === this.end) return;
    this.start = from;
    this.end = from + length;
    this.dispatchEvent(new Event("change"));
  }

  fit() { this.set(0, this.seconds); }

  // The moment below the pointer stays below the pointer.
  zoom(factor, at = (this.start + this.end) / 2) {
    const length = Math.min(Math.max(this.length / factor, LEAST), this.seconds);
    this.set(at - ((at - this.start) / this.length) * length, at + ((this.end - at) / this.length) * length);
  }

  move(by) { this.set(this.start + by, this.end + by); }

  // Shows a stretch with some of what is around it, unless it is in sight already.
  reveal(start, end = start) {
    if (start >= this.start && end <= this.end) return;
    const length = Math.max(this.length, 1.2 * (end - start));
    this.set((start + end - length) / 2, (start + end + length) / 2);
  }

  x(seconds, width) { return (width * (seconds - this.start)) / this.length; }

  at(x, width) { return this.start + (x / width) * this.length; }
}
