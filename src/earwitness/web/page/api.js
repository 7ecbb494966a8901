// The server: JSON, binary arrays, and what happens while it is gone.

export const connection = Object.assign(new EventTarget(), { state: "here" });

const FIRST_WAIT = 500, LONGEST_WAIT = 4000; // milliseconds between two tries to reach a server that is gone

// The server answered, and refused: its one line says why.
class Refusal extends Error {
  constructor(status, message) { super(message); this.status = status; }
}

// The server did not answer, or does not know this page any more.
export class Gone extends Error {}

function become(state) {
  if (connection.state === state) return;
  connection.state = state;
  connection.dispatchEvent(new Event("change"));
  if (state !== "here" && !connection.waiting) connection.waiting = comeBack();
}

async function comeBack() {
  for (let wait = FIRST_WAIT; ; wait = Math.min(2 * wait, LONGEST_WAIT)) {
    await new Promise((done) => { setTimeout(done, wait); });
    try {
      const answer = await fetch("/api/session", { cache: "no-store" });
      if (answer.ok) break;
      become(answer.status === 401 ? "stranger" : "gone");
    } catch { become("gone"); }
  }
  connection.waiting = null;
  become("here");
}

export const back = () => connection.waiting ?? Promise.resolve();

async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, { cache: "no-store", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    become("gone");
    throw new Gone("the server does not answer");
  }
  if (answer.ok) {
    if (connection.state === "gone") become("here");
    return answer;
  }
  const message = await answer.json().then((said) => said.error, () => null);
  if (answer.status === 401) {
    become("stranger");
    throw new Gone(message ?? "the server does not know this page");
  }
  throw new Refusal(answer.status, message ?? `the server answered ${answer.status}`);
}

// Reading may be repeated: it waits for a server that is gone, and goes on by itself.
async function reading(path, signal) {
  for (;;) {
    try {
      return await ask(path, { signal });
    } catch (error) {
      if (!(error instanceof Gone)) throw error;
      await back();
      signal?.throwIfAborted();
    }
  }
}

export const get = async (path, signal) => (await reading(path, signal)).json();

export const bytes = async (path, signal) => (await reading(path, signal)).arrayBuffer();

// An array of the server's: little-endian float32, row by row.
export async function numbers(path, signal) {
  const answer = await reading(path, signal);
  const [rows, columns] = answer.headers.get("X-Shape").split(",").map(Number);
  const buffer = await answer.arrayBuffer();
  if (buffer.byteLength !== 4 * rows * columns) throw new Refusal(500, `${path}: ${buffer.byteLength} bytes for ${rows} rows of ${columns}`);
  const edge = (key) => (answer.headers.has(key) ? Number(answer.headers.get(key)) : null);
  return { values: floats(buffer), rows, columns, start: edge("X-Start-Seconds"), end: edge("X-End-Seconds") };
}

const LITTLE = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

function floats(buffer) {
  if (LITTLE) return new Float32Array(buffer);
  const view = new DataView(buffer);
  return Float32Array.from({ length: buffer.byteLength / 4 }, (_, place) => view.getFloat32(4 * place, true));
}

// Changing is asked once: who asks says what happens where the server is gone.
export async function send(method, path, body, signal) {
  const answer = await ask(path, { method, signal, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body ?? {}) });
  return { status: answer.status, ...(await answer.json().catch(() => ({}))) };
}

export async function upload(file, collection) {
  const query = collection ? `?collection=${encodeURIComponent(collection)}` : "";
  const headers = { "Content-Type": "application/octet-stream", "X-File-Name": encodeURIComponent(file.name) };
  return (await ask(`/api/uploads${query}`, { method: "POST", headers, body: file })).json();
}

export const paths = {
  collection: (c) => `/api/collections/${encodeURIComponent(c)}`,
  recording: (c, r) => `/api/collections/${encodeURIComponent(c)}/recordings/${encodeURIComponent(r)}`,
};

export const query = (parameters) => {
  const kept = Object.entries(parameters).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return kept.length ? `?${new URLSearchParams(kept)}` : "";
};

// An aborted request is no failure: whoever asked has gone elsewhere.
export const isAbort = (error) => error?.name === "AbortError";
