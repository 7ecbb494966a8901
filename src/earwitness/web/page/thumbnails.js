// Small pictures of recordings: only of those in sight, a few at a time, each fetched once.

import { isAbort, numbers, paths } from "./api.js";
import { sound, soundLimits } from "./colours.js";
import { picture } from "./spectrogram.js";

const AT_ONCE = 6;
const REST = 60; // milliseconds
const KEPT = 800; // pictures of at most 96 x 32 cells
const kept = new Map();
const waiting = [];
let running = 0;

function next() {
  while (running < AT_ONCE && waiting.length) {
    const task = waiting.pop(); // what came into sight last is looked at now
    if (task.signal.aborted) continue;
    running += 1;
    task.run().finally(() => { running -= 1; next(); });
  }
}

// part: {start, length} in seconds of what is meant; the rest is dimmed
function paint(canvas, { image, end }, part) {
  canvas.width = image.width;
  canvas.height = image.height;
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  if (part && end > 0) {
    const [from, to] = [part.start, part.start + part.length].map((seconds) => (image.width * seconds) / end);
    context.fillStyle = "rgb(0 0 0 / .62)";
    context.fillRect(0, 0, from, image.height);
    context.fillRect(to, 0, image.width - to, image.height);
  }
  canvas.classList.add("drawn");
}

// Draws a recording's thumbnail as soon as it is there; aborting the signal gives up on it.
export function thumbnail(canvas, collection, id, signal, part = null) {
  const { silence } = collection.grid;
  const key = `${collection.id}/${id}`;
  const found = kept.get(key);
  if (found) { kept.delete(key); kept.set(key, found); paint(canvas, found, part); return; }
  // Rows that fly past are not asked for.
  const timer = setTimeout(() => { waiting.push(task); next(); }, REST);
  signal.addEventListener("abort", () => clearTimeout(timer));
  const task = { signal, run: async () => {
    try {
      const tile = await numbers(`${paths.recording(collection.id, id)}/thumbnail`, signal);
      const drawn = { image: picture(tile, soundLimits(tile.values, silence), sound(true, false)), end: tile.end };
      kept.set(key, drawn);
      if (kept.size > KEPT) kept.delete(kept.keys().next().value);
      if (!signal.aborted) paint(canvas, drawn, part);
    } catch (error) {
      if (!isAbort(error) && !signal.aborted) canvas.classList.add("missing"); // the row's words are enough
    }
  } };
}
