// A file of one's own, dropped on the page or picked: the model is asked about it as about any recording.

import { get, upload } from "./api.js";
import { announce, button, h, put, visible } from "./dom.js";
import { address, go } from "./router.js";
import { session } from "./store.js";

const MOST = 200 * 2 ** 20; // bytes, as the server takes them
let collectionNow = () => null;

async function ask(file) {
  const place = document.getElementById("drop");
  const say = (...words) => { place.hidden = false; put(place, h("p", {}, ...words)); };
  const refuse = (line) => {
    const close = button("Close", () => { place.hidden = true; });
    say(h("span", { class: "failure" }, line), " ", close);
    close.focus();
  };
  if (file.size > MOST) { refuse(`${visible(file.name)} has ${Math.round(file.size / 2 ** 20)} MB; at most 200 MB are taken.`); return; }
  say(`Asking about ${visible(file.name)} \u2026`);
  announce(`asking about ${visible(file.name)}`);
  try {
    const found = await upload(file, collectionNow());
    Object.assign(session, await get("/api/session")); // the file may lie in a collection of its own
    place.hidden = true;
    const there = address(["c", found.collection, "r", found.recording]);
    if (location.hash === there) dispatchEvent(new Event("hashchange")); else go(there); // sent again, by another name
  } catch (error) {
    refuse(error.message.includes(file.name) ? visible(error.message) : `${visible(file.name)}: ${visible(error.message)}`);
    announce(error.message);
  }
}

export function pickFile() {
  const input = h("input", { type: "file", accept: "audio/*,video/*", on: { change: () => { if (input.files[0]) ask(input.files[0]); } } });
  input.click();
}

export function dropping(now) {
  collectionNow = now;
  const place = document.getElementById("drop");
  place.addEventListener("keydown", (event) => { if (event.key === "Escape") place.hidden = true; });
  const hasFile = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  addEventListener("dragover", (event) => { if (hasFile(event)) { event.preventDefault(); if (place.hidden) { put(place, h("p", {}, "Drop the sound file: the model is asked about it.")); place.hidden = false; } } });
  addEventListener("dragleave", (event) => { if (!event.relatedTarget) place.hidden = true; });
  addEventListener("drop", (event) => {
    if (!hasFile(event)) return;
    event.preventDefault();
    place.hidden = true;
    const [file] = event.dataTransfer.files;
    if (file) ask(file);
  });
}
