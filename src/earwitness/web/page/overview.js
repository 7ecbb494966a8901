// The overview of a run: how good it is, where it fails, and the ways from there to the recordings.

import { get, paths } from "./api.js";
import { interval, trainingCurve } from "./charts.js";
import { button, h, link, name, put, visible } from "./dom.js";
import { count, plural, seconds } from "./format.js";
import { follow, progress } from "./jobs.js";
import { address } from "./router.js";
import { classTable, confusionTable } from "./tables.js";

export async function overview(root, { collection, signal }) {
  const found = await get(`${paths.collection(collection.id)}/overview`, signal);
  const to = (parameters) => address(["c", collection.id, "q"], parameters);
  const classes = [...found.classes];
  put(root, h("div", { class: "overview" },
    h("header", { class: "view-head" }, h("h1", {}, name(collection.title)), h("p", { class: "quiet" }, `${collection.backbone}, ${count(collection.classes.length)} classes, segments of ${seconds(collection.segment_seconds)}`)),
    h("p", { class: "lead" }, leading(found, to)),
    found.audit === null ? null : h("p", { class: "audit" }, h("b", {}, "Audit: "), visible(found.audit)),
    found.warnings.length ? h("ul", { class: "warnings" }, found.warnings.map((each) => h("li", {}, h("b", {}, "Note: "), visible(each)))) : null,
    h("div", { class: "cards" },
      interval("Recordings predicted right", found.accuracy?.file, `${plural(found.recordings, "recording")}`, counted(found, to)), interval("Segments predicted right", found.accuracy?.segment, `${count(found.segments)} segments`, found.confusion && h("p", { class: "actions" }, button("Which are misclassified?", () => toSegments(root), { class: "small wraps" }))),
      h("nav", { class: "figure-card ways", "aria-label": "Ways to the recordings" }, h("span", { class: "quiet" }, "Go through"),
        collection.labelled ? link("Misclassified, surest first", to(wrong)) : null, link("Low margin", to({ show: "low-margin", sort: "margin" })),
        link("Verdict: not reliable", to({ show: "not-reliable" })), link("Unreviewed", to({ show: "unreviewed" })), link("All recordings", to({})))),
    h("div", { class: "pair" },
      found.confusion ? h("section", {}, h("h2", {}, "Confusion"), confusionTable(collection, found.confusion)) : null,
      classes.length ? h("section", {}, h("h2", {}, "Classes"), classTable(collection, classes)) : null),
    found.history ? h("section", {}, h("h2", {}, "Training"), trainingCurve(found.history)) : null,
    found.figures.length ? h("section", {}, h("h2", {}, "Figures"), figures(found.figures)) : null,
    h("section", {}, h("h2", {}, "Take away"), h("p", { class: "actions" },
      found.report ? link("Save as report (one offline file)", `${paths.collection(collection.id)}/report`, { class: "button", download: "" }) : null,
      ...[["csv", "CSV"], ["raven", "Raven"], ["audacity", "Audacity"]].map(([format, text]) => link(`Decisions and findings: ${text}`, `${paths.collection(collection.id)}/export?format=${format}`, { class: "button", download: "" }))))));
  if (found.scoring) scored(root, { collection, signal }, found.scoring);
  return { title: visible(collection.title) };
}

const wrong = { show: "wrong", sort: "surest-wrong" };

// The headline's first words count recordings, and lead to them.
function leading({ headline, right, recordings }, to) {
  const words = `${right} of ${recordings} recordings`;
  if (right === null || !headline.startsWith(words)) return visible(headline);
  return [link(words, to({ show: "right" })), visible(headline.slice(words.length))];
}

function counted({ right, recordings }, to) {
  if (right === null) return null;
  const several = recordings - right;
  return h("span", {}, right ? link(`${count(right)} right`, to({ show: "right" })) : "none right", ", ", several ? link(`${count(several)} misclassified`, to(wrong)) : "none misclassified");
}

// Segments have no queue: the confusion table counts them, and its cells lead to them.
function toSegments(root) {
  const choice = root.querySelector("input[name=confusion][value=segments]");
  choice.click();
  choice.focus();
  choice.closest("section").scrollIntoView({ block: "start" });
}

// A folder's recordings are being scored: how far, and at the end what was found, while the page is looked at.
async function scored(root, given, id) {
  const job = await get(`/api/jobs/${id}`, given.signal).catch(() => null);
  if (!job || given.signal.aborted) return;
  const bar = progress(job);
  root.querySelector(".lead").after(bar.element);
  await follow(job, bar.update).catch(() => null); // the tray lets it be cancelled
  if (!given.signal.aborted) overview(root, given);
}

// Figures that the run holds: small, and large on demand.
export function figures(given) {
  return h("div", { class: "gallery" }, given.map((each) => h("details", { class: "figure" },
    h("summary", {}, h("b", {}, visible(each.title)), h("span", { class: "quiet" }, visible(each.question ?? ""))),
    h("a", { href: `/api/figures/${each.id}`, target: "_blank", rel: "noopener" }, h("img", { src: `/api/figures/${each.id}`, loading: "lazy", alt: `${visible(each.title)}: ${visible(each.question ?? "")}` })))));
}
