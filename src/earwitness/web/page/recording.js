// The recording's view: its lanes, its sound, and beside them what one can ask of it.

import { get, isAbort, paths } from "./api.js";
import { announce, h, later, link, name, put, unique, visible } from "./dom.js";
import { evidencePanel } from "./evidencepanel.js";
import { editsFromText, textOfEdits } from "./edits.js";
import { factsPanel } from "./facts.js";
import { rounded, score, scoreOf, seconds } from "./format.js";
import { bind } from "./keys.js";
import { listeningPanel } from "./listening.js";
import { Player } from "./player.js";
import { outcome } from "./queue.js";
import { buttons, DECISIONS, review, reviewOf, reviews, undo } from "./reviews.js";
import { address, amend, go, number, settle } from "./router.js";
import { Scene } from "./scene.js";
import { unscored } from "./scoring.js";
import { Stage } from "./stage.js";
import { set, settings } from "./store.js";
import { tabs } from "./tabs.js";
import { TimeView } from "./timeview.js";
import { transport } from "./transport.js";
import { recordingAddress, stepFrom } from "./walk.js";
import { whatIfPanel } from "./whatif.js";

export async function recording(root, given, resume = null) {
  const { collection, id, parameters, signal } = given;
  const found = await get(paths.recording(collection.id, id), signal);
  if (found.scoring) unscored(root, given, found, (heard) => recording(root, given, heard).catch((error) => { if (!isAbort(error)) put(root, h("p", { class: "empty failure" }, error.message)); }));
  else scored(root, given, found, resume);
  return { title: visible(found.name), crumbs: [link("Queue", queueAddress(collection, id, parameters))] };
}

function scored(root, { collection, id, parameters, signal }, found, resume) {
  const view = new TimeView(found.seconds, number(parameters, "t0") ?? 0, number(parameters, "t1") ?? found.seconds);
  const player = new Player(signal);
  player.recording(`${paths.recording(collection.id, id)}/sound`, found.seconds);
  player.place = Math.min(resume?.place ?? number(parameters, "p") ?? view.start, Math.max(0, found.seconds - 0.01));
  const scene = new Scene({ collection, recording: found, view, player, signal });
  scene.edits = editsFromText(parameters.get("edits"));
  Object.assign(scene.question, { method: parameters.get("method"), target: parameters.get("target"), against: parameters.get("against"), at: number(parameters, "at") });

  const row = { id, name: found.name, review: found.review };
  const described = unique("map-text");
  const stage = new Stage(scene, { describedBy: described, label: `log-mel of ${visible(found.name)}` });
  const walk = { collection: collection.id, recording: found, parameters };
  const position = h("span", { class: "quiet" });
  const listening = listeningPanel(scene);
  const side = tabs("Ask", [
    { key: "evidence", text: "Evidence", panel: evidencePanel(scene, described) }, { key: "listen", text: "Listen", panel: listening },
    { key: "what-if", text: "What if", panel: whatIfPanel(scene) }, { key: "facts", text: "Facts", panel: factsPanel(scene) },
  ], parameters.get("tab") ?? (scene.edits.length ? "what-if" : "evidence"), (key) => amend({ tab: key === "evidence" ? null : key }));
  scene.openTab = side.open;
  const decision = buttons(collection.id, row, (value) => decide(value));
  let noted = reviewOf(collection.id, row)?.note ?? ""; // as it is kept
  const note = h("input", { type: "text", value: noted, placeholder: "note", "aria-label": "Your note", maxlength: "2000",
    on: { change: () => review(collection.id, row, reviewOf(collection.id, row)?.decision ?? "", note.value), keydown: (event) => { if (event.key === "Enter" || event.key === "Escape") { note.blur(); stage.element.focus(); } } } });

  // It names the view that it is left for, as that is then.
  function comparing() { return address(["compare"], { a: `${collection.id}/${id}`, back: location.hash.slice(1) }); }
  function whence({ currentTarget }) { settle(); currentTarget.href = comparing(); }

  put(root, h("div", { class: "recording" },
    h("header", { class: "view-head" },
      h("div", { class: "identity" }, h("h1", {}, name(found.name)), h("p", { class: "said" }, outcome(found), h("span", { class: "quiet" }, `score ${score(scoreOf(found.scores, found.predicted))}, ${seconds(found.seconds)}`), position)),
      h("div", { class: "judging" }, decision.element, note, h("div", { class: "steps" }, link("Compare", comparing(), { class: "button", title: "with another run, model or method", on: Object.fromEntries(["pointerdown", "focus", "click"].map((what) => [what, whence])) }),
        h("button", { type: "button", "aria-label": "Previous recording", title: "k", on: { click: () => step(-1) } }, "\u2191"), h("button", { type: "button", "aria-label": "Next recording", title: "j", on: { click: () => step(1) } }, "\u2193")))),
    found.why ? h("p", { class: "why" }, visible(found.why)) : null,
    h("div", { class: "desk" }, h("section", { class: "looking", "aria-label": "Sound and evidence" }, stage.element, stage.legend, transport(scene, stage)), h("aside", { class: "asking", "aria-label": "Questions" }, side.element))));

  // ---- the address follows ----
  const remember = later(() => {
    const { method, target, against, at } = scene.question;
    const whole = view.isWhole;
    amend({ method: scene.map || scene.job ? method : null, target, against, at: at === null ? null : rounded(at, 3), t0: whole ? null : rounded(view.start, 3), t1: whole ? null : rounded(view.end, 3),
      p: player.playing || player.position < 0.01 ? parameters.get("p") && null : rounded(player.position, 2), edits: textOfEdits(scene.edits) });
  }, 150);
  signal.addEventListener("abort", remember.cancel);
  view.addEventListener("change", remember, { signal });
  for (const what of ["map", "question", "segment", "edits"]) scene.addEventListener(what, remember);
  for (const what of ["state", "position"]) player.addEventListener(what, () => { if (!player.playing) remember(); }, { signal });

  // ---- what is shown first: what the address asks for, or the best of the maps that are held ----
  const asked = parameters.has("method");
  if (asked) scene.choose({});
  else if (found.maps.length) scene.show(found.maps[0]).catch(() => {}); // the server has the best first
  else scene.say("map");
  scene.say("edits");
  if (resume ? resume.playing : settings.autoplay && !parameters.has("p")) player.play(resume?.place ?? 0).catch(() => {});
  if (parameters.has("i")) position.textContent = `no. ${Number(parameters.get("i")) + 1} of the queue`;

  // ---- decisions and steps ----
  async function step(by) {
    const next = await stepFrom(walk, by, signal);
    if (!next) { announce(by > 0 ? "this is the last recording" : "this is the first recording"); return; }
    go(recordingAddress(collection.id, next.id, { from: parameters.get("from"), i: next.index ?? undefined, tab: parameters.get("tab") }));
  }
  function decide(value) {
    review(collection.id, row, value);
    if (parameters.has("from")) step(1); // going through a queue: the next one
  }
  reviews.addEventListener("change", ({ detail }) => {
    if (detail.collection !== collection.id || detail.id !== id) return;
    row.review = detail.review;
    decision.draw();
    const now = detail.review?.note ?? "";
    if (note.value === noted) note.value = now; // else somebody is writing here while another tab decides
    noted = now;
  }, { signal });
  const takeBack = () => {
    const last = undo();
    if (last && (last.id !== id || last.collection !== collection.id)) go(recordingAddress(last.collection, last.id, { from: parameters.get("from"), i: Math.max(0, Number(parameters.get("i")) - 1) || undefined }));
  };

  bind("Recording", {
    " ": () => player.toggle(), j: () => step(1), k: () => step(-1), ArrowLeft: () => player.seek(player.position - 0.1), ArrowRight: () => player.seek(player.position + 0.1),
    "+": () => view.zoom(1.5, player.position), "-": () => view.zoom(1 / 1.5, player.position), 0: () => view.fit(),
    ...Object.fromEntries(DECISIONS.map((each) => [each.key, () => decide(each.value)])), u: takeBack, s: () => step(1), n: () => note.focus(),
    a: () => { set("autoplay", !settings.autoplay); announce(`autoplay ${settings.autoplay ? "on" : "off"}`); },
    b: () => { scene.tool = scene.tool === "box" ? "pan" : "box"; scene.say("tool"); }, o: () => set("marks", !settings.marks),
    e: ({ key }) => { side.open({ e: "evidence", l: "listen", w: "what-if", f: "facts" }[key], true); if (key === "l") listening.toSounds(); },
    q: () => go(queueAddress(collection, id, parameters)),
  }, signal);
}

const queueAddress = (collection, id, parameters) =>
  address(["c", collection.id, "q"], { ...Object.fromEntries(new URLSearchParams(parameters.get("from") ?? "")), i: parameters.get("i"), r: parameters.has("from") ? id : null });
