// Two runs, models or methods beside each other on the same recording: one time axis, one sound, cursors in step.

import { isAbort, paths } from "./api.js";
import { button, field, h, link, name, picker, put, unique, visible } from "./dom.js";
import { evidencePanel } from "./evidencepanel.js";
import { bind } from "./keys.js";
import { Player } from "./player.js";
import { outcome } from "./queue.js";
import { address, amend, go, number } from "./router.js";
import { base, Scene } from "./scene.js";
import { whenScored } from "./scoring.js";
import { Stage } from "./stage.js";
import { collection as collectionOf, session } from "./store.js";
import { TimeView } from "./timeview.js";
import { transport } from "./transport.js";
import { page, recordingAddress } from "./walk.js";

const SIDES = ["a", "b"];

// The recording of the same name under another model.
async function sameName(collection, wanted, signal) {
  const found = await page(collection.id, { text: wanted }, 0, signal);
  return found.items.find((each) => each.name === wanted)?.id ?? null;
}

// Who is not named is the first other one that has the recording, or the same model with another method.
async function counterpart(one, id, wanted, named, signal) {
  for (const each of named ? [named] : session.collections.filter((other) => other !== one)) {
    const found = each === one ? id : await sameName(each, wanted, signal);
    if (found || named) return [each, found];
  }
  return [one, id];
}

export async function compare(root, { parameters, signal }) {
  const split = (text) => (text ?? "").split("/");
  const [firstCollection, firstRecording] = split(parameters.get("a"));
  const one = collectionOf(firstCollection) ?? session.collections[0];
  if (!one) throw new Error("Nothing is open that could be compared.");
  const id = firstRecording || (await page(one.id, {}, 0, signal, 1)).items[0]?.id;
  if (!id) throw new Error("There is no recording to compare.");
  const left = await whenScored(paths.recording(one.id, id), signal);
  const [two, otherId] = await counterpart(one, id, left.name, collectionOf(split(parameters.get("b"))[0]), signal);
  const right = otherId ? await whenScored(paths.recording(two.id, otherId), signal) : null;

  const seconds = Math.max(left.seconds, right?.seconds ?? 0);
  const view = new TimeView(seconds, number(parameters, "t0") ?? 0, number(parameters, "t1") ?? seconds);
  const player = new Player(signal);
  player.recording(`${paths.recording(one.id, id)}/sound`, left.seconds);

  const search = h("input", { type: "search", value: left.name, list: "names", autocomplete: "off" });
  const names = h("datalist", { id: "names" });
  const wrong = h("span", { class: "failure", role: "alert" });
  const back = parameters.get("back");
  const open = (a, b) => go(address(["compare"], { a, b, back }));
  const choices = session.collections.map((each) => ({ value: each.id, text: each.title }));
  search.addEventListener("input", async () => {
    try {
      const found = await page(one.id, { text: search.value }, 0, signal, 20);
      put(names, found.items.map((each) => h("option", { value: each.name })));
      const exact = found.items.find((each) => each.name === search.value);
      if (exact && exact.id !== id) open(`${one.id}/${exact.id}`, two.id);
    } catch (error) { if (!isAbort(error)) put(wrong, error.message); }
  });
  const changeLeft = async (value) => {
    const other = await sameName(collectionOf(value), left.name, signal);
    if (other) open(`${value}/${other}`, two.id); else put(wrong, `${visible(left.name)} is not in ${visible(collectionOf(value).title)}.`);
  };
  const controls = h("div", { class: "filters" }, field("Recording", search), names, field("Left", picker(choices, one.id, changeLeft)), field("Right", picker(choices, two.id, (value) => open(`${one.id}/${id}`, value))), button("Swap", () => { if (right) open(`${two.id}/${otherId}`, one.id); }), wrong);

  const scenes = [];
  const columns = [[one, left], [two, right]].map(([collection, recording], place) => {
    if (!recording) return h("section", { class: "side" }, h("h2", {}, name(collection.title)), h("p", { class: "empty" }, "This recording is not among those of ", name(collection.title), "."));
    const scene = new Scene({ collection, recording, view, player, signal });
    const described = unique("map-text");
    const stage = new Stage(scene, { describedBy: described, label: `log-mel of ${visible(recording.name)} as ${visible(collection.title)} sees it` });
    const panel = evidencePanel(scene, described);
    const key = SIDES[place];
    Object.assign(scene.question, { method: parameters.get(`${key}m`), target: parameters.get(`${key}t`) });
    scene.addEventListener("map", () => amend({ [`${key}m`]: scene.map ? scene.question.method : null, [`${key}t`]: scene.map ? scene.question.target : null }));
    scenes.push({ scene, stage });
    return h("section", { class: "side", "aria-label": `${place ? "Right" : "Left"}: ${visible(collection.title)}` },
      h("h2", {}, link([name(collection.title)], recordingAddress(collection.id, recording.id)), h("span", { class: "quiet" }, ` ${collection.backbone}`)), h("p", {}, outcome(recording)), stage.element, stage.legend, panel.element);
  });
  put(root, h("div", { class: "compare" }, h("header", { class: "view-head" }, h("h1", {}, "Compare")), controls, h("div", { class: "sides" }, columns), transport(scenes[0].scene, scenes[0].stage, scenes.map((each) => each.scene))));
  root.querySelector('.transport [aria-label="What dragging does"]')?.remove(); // nothing is drawn here
  // Side by side the same method says most where both have it.
  const heldBy = ({ recording }) => recording.maps.find((map) => !map.against && !map.whole && map.class === recording.predicted) ?? recording.maps[0];
  for (const [place, { scene }] of scenes.entries()) {
    const held = heldBy(scene), first = heldBy(scenes[0].scene);
    // One model on both sides: then another method, of the same class and segment, says something new.
    const { method, target } = scenes[0].scene.question;
    const shown = method ?? (first ? base(first.method) : scene.usual);
    const other = place && two === one ? one.methods.find((each) => each.name !== shown && each.default) : null;
    if (scene.question.method) scene.choose({});
    else if (other) scene.choose({ method: other.name, target: target ?? first?.class ?? scene.recording.predicted, at: first && !first.whole ? (first.start_seconds + first.end_seconds) / 2 : null });
    else if (held) scene.show(held).catch(() => {});
  }
  view.addEventListener("change", () => amend({ t0: view.isWhole ? null : view.start.toFixed(3), t1: view.isWhole ? null : view.end.toFixed(3) }), { signal });
  bind("Compare", { " ": () => player.toggle(), "+": () => view.zoom(1.5, player.position), "-": () => view.zoom(1 / 1.5, player.position), 0: () => view.fit() }, signal);
  // Back to the view that one came from, as it was; else to the recording on the left.
  const before = back?.startsWith("/c/") ? `#${back}` : recordingAddress(one.id, id);
  return { title: `Compare ${visible(left.name)}`, crumbs: [link("\u2190 Back to the recording", before)] };
}
