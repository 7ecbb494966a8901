// What the server computes in the background: followed as it goes, shown with progress, cancelled on demand.

import { back, get, Gone, send } from "./api.js";
import { announce, button, h, put, visible } from "./dom.js";
import { count, plural } from "./format.js";

const jobs = Object.assign(new EventTarget(), { running: new Map() });

const ENDED = ["done", "failed", "cancelled"];

function note(job) {
  if (ENDED.includes(job.state)) jobs.running.delete(job.id);
  else jobs.running.set(job.id, job);
  jobs.dispatchEvent(new Event("change"));
}

export class Cancelled extends Error {}

// Returns the job's result; onChange is told of each state.
export async function follow(job, onChange = () => {}) {
  const told = (now) => { note(now); onChange(now); };
  told(job);
  const last = ENDED.includes(job.state) ? job : await (listen(job, told).catch(() => poll(job, told)));
  note(last);
  if (last.state === "done") return last.result;
  if (last.state === "cancelled") throw new Cancelled("cancelled");
  throw new Error(last.error ?? "the server could not compute it");
}

function listen(job, told) {
  return new Promise((resolve, reject) => {
    const events = new EventSource(`/api/jobs/${job.id}/events`);
    events.onmessage = (event) => {
      const now = JSON.parse(event.data);
      told(now);
      if (ENDED.includes(now.state)) { events.close(); resolve(now); }
    };
    events.onerror = () => { events.close(); reject(new Error("the stream broke off")); };
  });
}

// Where the stream broke off (a proxy, a server that is gone) the job is asked after.
async function poll(job, told) {
  for (;;) {
    try {
      const now = await get(`/api/jobs/${job.id}`);
      told(now);
      if (ENDED.includes(now.state)) return now;
    } catch (error) {
      if (!(error instanceof Gone)) { note({ ...job, state: "failed" }); throw error; } // a server started anew knows no old jobs
      await back();
    }
    await new Promise((done) => { setTimeout(done, 500); });
  }
}

export async function cancel(id) {
  try {
    note(await send("DELETE", `/api/jobs/${id}`));
  } catch {
    jobs.running.delete(id);
    jobs.dispatchEvent(new Event("change"));
  }
}

// A bar that follows a job in place: a button beside it keeps the focus, and is there when the finger comes up.
export function progress(job) {
  const bar = h("progress", { "aria-label": `progress of ${visible(job.title)}` });
  const text = h("span", { class: "quiet" });
  const update = (now) => {
    if (now.total) Object.assign(bar, { max: now.total, value: now.done }); else bar.removeAttribute("value");
    const waits = `waiting${now.ahead ? `, ${now.ahead} before it` : ""}`;
    text.textContent = now.state === "queued" ? waits : now.total ? `${now.doing ? `${now.doing}: ` : ""}${count(now.done)} of ${count(now.total)}` : `${now.doing || "computing"}${now.done ? `: ${count(now.done)}` : ""}`;
  };
  update(job);
  return { element: h("span", { class: "progress" }, bar, text), update };
}

// The header's list of what is being computed.
export function tray(root) {
  const rows = new Map();
  const summary = h("summary");
  const list = h("ul");
  put(root, h("details", {}, summary, list));
  const draw = () => {
    for (const [id, row] of rows) if (!jobs.running.has(id)) { row.element.remove(); rows.delete(id); }
    for (const job of jobs.running.values()) {
      if (rows.has(job.id)) { rows.get(job.id).bar.update(job); continue; }
      const bar = progress(job);
      const element = h("li", {}, h("span", { class: "title" }, visible(job.title)), bar.element, button("Cancel", () => { cancel(job.id); announce("cancelled"); }, { class: "small" }));
      rows.set(job.id, { bar, element });
      list.append(element);
    }
    root.hidden = !rows.size;
    summary.textContent = plural(rows.size, "job");
  };
  jobs.addEventListener("change", draw);
  draw();
}
