// What the server computes in the background: followed as it goes, shown with progress, cancelled on demand.

import { back, get, Gone, send } from "./api.js";
import { announce, button, h, put, visible } from "./dom.js";

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

export function progress(job) {
  const text = job.state === "queued" ? `waiting${job.ahead ? `, ${job.ahead} before it` : ""}` : job.total ? `${job.doing ? `${job.doing}: ` : ""}${job.done} of ${job.total}` : job.doing || "computing";
  return h("span", { class: "progress" },
    h("progress", { max: job.total ?? 1, value: job.total ? job.done : undefined, "aria-label": `progress of ${visible(job.title)}` }), h("span", { class: "quiet" }, text));
}

// The header's list of what is being computed.
export function tray(root) {
  const draw = () => {
    const all = [...jobs.running.values()];
    root.hidden = !all.length;
    if (!all.length) { put(root); return; }
    const title = `${all.length} ${all.length === 1 ? "job" : "jobs"}`;
    const open = root.querySelector("details")?.open;
    put(root, h("details", { open }, h("summary", {}, title), h("ul", {}, all.map((job) =>
      h("li", {}, h("span", { class: "title" }, visible(job.title)), progress(job), button("Cancel", () => { cancel(job.id); announce("cancelled"); }, { class: "small" }))))));
  };
  jobs.addEventListener("change", draw);
  draw();
}
