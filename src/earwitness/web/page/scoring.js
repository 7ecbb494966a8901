// A recording that takes long to be scored: its lanes and its sound are there at once, and how far the scores are.

import { get, isAbort, numbers, paths } from "./api.js";
import { button, h, name, put, visible } from "./dom.js";
import { seconds } from "./format.js";
import { cancel, Cancelled, follow, progress } from "./jobs.js";
import { bind } from "./keys.js";
import { Player } from "./player.js";
import { outcome } from "./queue.js";
import { Scene } from "./scene.js";
import { Stage } from "./stage.js";
import { TimeView } from "./timeview.js";
import { transport } from "./transport.js";

// Shows it until it is scored; then again({place, playing}) shows what there is then, and goes on playing.
export function unscored(root, { collection, id, signal }, found, again) {
  const leaving = new AbortController(); // this view alone
  const path = paths.recording(collection.id, id);
  const job = found.scoring;
  const bar = progress(job);
  const state = h("div", { class: "state scoring", role: "status" }, h("p", {}, h("b", {}, "It is being scored. "), "Evidence, scores and \"what if\" come then; meanwhile look and listen."),
    bar.element, button("Cancel", () => cancel(job.id), { class: "small" }));
  const place = h("section", { class: "looking unscored", "aria-label": "Sound" }, h("p", { class: "quiet" }, "The sound is being read \u2026"));
  const length = h("span", { class: "quiet" });
  let player = null, going = true;

  put(root, h("div", { class: "recording" }, h("header", { class: "view-head" }, h("div", { class: "identity" }, h("h1", {}, name(found.name)), h("p", { class: "said" }, outcome(found), length))), state, place));

  function lanes(lasts) {
    length.textContent = seconds(lasts);
    const view = new TimeView(lasts);
    player = new Player(leaving.signal);
    player.recording(`${path}/sound`, lasts);
    const scene = new Scene({ collection, recording: { ...found, seconds: lasts }, view, player, signal: leaving.signal });
    const stage = new Stage(scene, { label: `log-mel of ${visible(found.name)}` });
    put(place, stage.element, transport(scene, stage));
    place.querySelector('[aria-label="What dragging does"]').remove(); // nothing is drawn before it is scored
    bind("Recording", { " ": () => player.toggle(), "+": () => view.zoom(1.5, player.position), "-": () => view.zoom(1 / 1.5, player.position), 0: () => view.fit() }, leaving.signal);
  }

  const end = () => { going = false; leaving.abort(); };
  signal.addEventListener("abort", () => { if (going) cancel(job.id); end(); });
  // No header can be trusted: how long it is, is known when it has been read.
  if (found.seconds !== null) lanes(found.seconds);
  else numbers(`${path}/waveform?columns=1`, leaving.signal).then((read) => lanes(read.end), (error) => { if (!isAbort(error)) put(place, h("p", { class: "failure" }, error.message)); });
  follow(job, bar.update).then(() => {
    if (!going) return;
    const resume = player && { place: player.position, playing: player.playing };
    end();
    again(resume);
  }, (error) => {
    if (!going) return;
    going = false; // nothing is left to be cancelled
    put(state, h("p", { class: error instanceof Cancelled ? null : "failure" }, error instanceof Cancelled ? "It is not scored." : error.message), button("Score it", () => { leaving.abort(); again(null); }, { class: "primary" }));
  });
}

// The recording with its scores, however long that takes.
export async function whenScored(path, signal) {
  for (;;) {
    const found = await get(path, signal);
    if (!found.scoring) return found;
    await follow(found.scoring);
    signal.throwIfAborted();
  }
}
