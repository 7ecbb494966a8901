// The recording in numbers: its scores, its detections, what is to be known about it.

import { scoreBar } from "./bars.js";
import { h, put, visible } from "./dom.js";
import { loopButton } from "./evidencepanel.js";
import { count, score, seconds, span } from "./format.js";
import { reviewOf } from "./reviews.js";

const MOST = 12; // classes shown at once

export function factsPanel(scene) {
  const { recording } = scene;
  const fact = (term, value) => h("div", {}, h("dt", {}, term), h("dd", { class: "number" }, value));
  const bars = (scores) => h("table", { class: "scores" }, h("caption", { class: "hidden" }, "Scores of the recording"), h("tbody", {}, scores.map((each) => h("tr", {},
    h("th", { scope: "row" }, h("bdi", {}, visible(each.class)), scoreBar(scene.collection, each.score)), h("td", { class: "number" }, score(each.score))))));
  const rest = recording.scores.slice(MOST);
  // A recording is predicted as what more of its segments are than any other class, which need not be the class of the highest mean.
  const votes = recording.scores[0]?.class === recording.predicted ? null : h("p", { class: "quiet" }, "More segments are predicted as ", h("bdi", {}, visible(recording.predicted)), " than as any other class, and so is the recording.");
  const element = h("div", {},
    recording.notes.map((each) => h("p", { class: "flag" }, h("b", {}, "Note: "), visible(each))),
    h("h2", {}, "Mean scores"), votes, bars(recording.scores.slice(0, MOST)), rest.length ? h("details", {}, h("summary", {}, `${count(rest.length)} more classes`), bars(rest)) : null,
    h("h2", {}, "Detections"), recording.detections.length ? h("ol", { class: "spans" }, recording.detections.map((each) => h("li", {}, loopButton(scene, each.start, each.end,
      [h("bdi", {}, visible(each.class)), h("span", { class: "number" }, span(each.start, each.end)), h("span", { class: "number" }, score(each.score))])))) : h("p", { class: "quiet" }, "None."),
    h("h2", {}, "Maps that are held"), h("div", { class: "held" }),
    h("h2", {}, "The file"), h("dl", { class: "facts" }, fact("Length", seconds(recording.seconds)), fact("Sample rate", `${count(recording.sample_rate)} Hz`), fact("Channels", recording.channels), fact("Segments", count(recording.segments.count)), fact("Decided", reviewOf(scene.collection.id, recording)?.decision || "not yet")));
  const held = element.querySelector(".held");
  const draw = () => put(held, recording.maps.length ? h("ul", { class: "spans" }, [...recording.maps].sort((one, two) => one.start_seconds - two.start_seconds).map((map) => h("li", {}, h("button", { type: "button", class: "span", "aria-pressed": String(scene.map?.id === map.id), on: { click: () => scene.show(map).catch(() => {}) } },
    h("b", {}, map.title), h("bdi", {}, visible(map.target)), h("span", { class: "number" }, span(...scene.extentOf(map))), map.verdict ? h("span", { class: "quiet" }, map.verdict.level) : null)))) : h("p", { class: "quiet" }, "None yet."));
  scene.addEventListener("map", draw);
  draw();
  return { element };
}
