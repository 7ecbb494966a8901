// Decisions on their way to the server. They are kept in the browser until the server has them, in order: a server
// that is gone, a closed tab or a crash loses none.

import { connection, Gone, paths, send } from "./api.js";
import { read, write } from "./store.js";

const KEY = "earwitness.outbox";
export const outbox = Object.assign(new EventTarget(), { size: read(KEY, []).length, failure: null });
let sending = null;

function keep(letters) {
  const kept = write(KEY, letters);
  outbox.size = letters.length;
  outbox.dispatchEvent(new Event("change"));
  return kept;
}

// Two tabs share the box: each change reads it anew.
export function decide(collection, recording, review) {
  const letter = { id: `${Date.now()}-${Math.random()}`, collection, recording, review, at: new Date().toISOString() };
  if (!keep([...read(KEY, []), letter])) return deliver(letter); // no storage here: then at once, or not at all
  return flush();
}

function deliver({ collection, recording, review }) {
  const path = `${paths.recording(collection, recording)}/review`;
  return review ? send("PUT", path, { decision: review.decision, note: review.note ?? "" }) : send("DELETE", path);
}

export function flush() {
  sending ??= empty().finally(() => { sending = null; });
  return sending;
}

async function empty() {
  // One tab at a time sends, so that the order is kept.
  if (navigator.locks) await navigator.locks.request(KEY, sendAll);
  else await sendAll();
}

async function sendAll() {
  for (let letters = read(KEY, []); letters.length; letters = read(KEY, [])) {
    try {
      await deliver(letters[0]);
      outbox.failure = null;
    } catch (error) {
      if (error instanceof Gone) return; // sent when the server is back
      if (error.status >= 500) { outbox.failure = error.message; keep(read(KEY, [])); setTimeout(flush, 5000); return; }
      outbox.failure = error.message; // refused for good: asking again would not help
    }
    keep(read(KEY, []).filter((each) => each.id !== letters[0].id));
  }
}

connection.addEventListener("change", () => { if (connection.state === "here") flush(); });

// What waits says more than what the server knew when it was asked.
export function pending(collection, recording) {
  const mine = read(KEY, []).filter((each) => each.collection === collection && each.recording === recording);
  return mine.length ? { review: mine.at(-1).review } : null;
}
