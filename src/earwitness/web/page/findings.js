// Findings: a "what if" or a map kept with a title and a note, as it was found.

import { isAbort, paths, send } from "./api.js";
import { announce, button, field, h, link, put, visible } from "./dom.js";
import { inWords } from "./edits.js";
import { score, scoreOf } from "./format.js";
import { tell, told } from "./siblings.js";

const FORMATS = [["csv", "CSV"], ["raven", "Raven"], ["audacity", "Audacity"]];

export function findings(scene, restore) {
  const { recording, signal } = scene;
  const title = h("input", { type: "text", maxlength: "200", placeholder: "what was found", on: { keydown: (event) => { if (event.key === "Enter") save(); } } });
  const note = h("textarea", { rows: 2, maxlength: "4000" });
  const wrong = h("p", { class: "failure", role: "alert" });
  const list = h("ul", { class: "findings" });
  const away = h("p", { class: "quiet" }, "All decisions and findings as ", FORMATS.map(([format, text], place) => [place ? ", " : "", link(text, `${paths.collection(scene.collection.id)}/export?format=${format}`, { download: "" })]));
  const element = h("section", { class: "saving" }, h("h2", {}, "Findings"), h("div", { class: "numbers" }, field("Title", title), field("Note", note), button("Save as a finding", save)), wrong, list, away);

  async function save() {
    if (!title.value.trim()) { put(wrong, "Give the finding a title first."); title.focus(); return; }
    try {
      const { status, ...found } = await send("POST", `${scene.path}/findings`, { title: title.value.trim(), note: note.value, edits: scene.edits, map: scene.map?.id ?? null }, signal);
      recording.findings.push(found);
      tell("finding", { path: scene.path, found });
      title.value = note.value = "";
      put(wrong);
      announce(`finding kept: ${visible(found.title)}`);
      draw();
    } catch (error) {
      if (!isAbort(error)) put(wrong, error.message); // what was written stays in its fields
    }
  }

  async function remove(finding) {
    try {
      await send("DELETE", `/api/findings/${finding.id}`, {}, signal);
      recording.findings.splice(recording.findings.indexOf(finding), 1);
      tell("finding removed", { path: scene.path, found: finding });
      draw();
      title.focus();
    } catch (error) {
      if (!isAbort(error)) put(wrong, error.message);
    }
  }

  const here = (run) => ({ path, found }) => {
    if (path !== scene.path) return;
    recording.findings = recording.findings.filter((each) => each.id !== found.id);
    run(found);
    draw();
  };
  told("finding", here((found) => recording.findings.push(found)), signal);
  told("finding removed", here(() => {}), signal);

  function draw() {
    put(list, recording.findings.map((each) => h("li", {}, h("b", {}, visible(each.title)), each.note ? h("p", {}, visible(each.note)) : null,
      h("p", { class: "quiet" }, each.edits.length ? each.edits.map(inWords).join("; ") : "no edits", each.before?.length ? [": ", h("bdi", {}, visible(recording.predicted)), ` ${score(scoreOf(each.before, recording.predicted))} \u2192 ${score(scoreOf(each.after, recording.predicted))}`] : ""),
      h("div", { class: "actions" }, each.edits.length ? button("Show", () => restore(each.edits), { class: "small", "aria-label": `Show finding ${visible(each.title)}` }) : null, button("Delete", () => remove(each), { class: "small", "aria-label": `Delete finding ${visible(each.title)}` })))));
  }
  draw();
  return { element };
}
