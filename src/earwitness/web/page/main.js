// The page: which view an address names, and what stands around the views.

import { connection, get, isAbort } from "./api.js";
import { banner } from "./banner.js";
import { classPage, confusionPage } from "./classes.js";
import { compare } from "./compare.js";
import { announce, button, h, isTouch, link, name, put, visible } from "./dom.js";
import { tray } from "./jobs.js";
import { start as startKeys, showKeys } from "./keys.js";
import { flush } from "./outbox.js";
import { overview } from "./overview.js";
import { queue } from "./queue.js";
import { recording } from "./recording.js";
import { address, parse, settle } from "./router.js";
import { startPage } from "./start.js";
import { applyTheme, collection, session, set, settings } from "./store.js";
import { dropping, pickFile } from "./upload.js";

const view = document.getElementById("view");
const crumbs = document.getElementById("crumbs");
let leaving = new AbortController();

// Which view an address names: {run, collection}, or null.
function route({ parts, parameters }) {
  const [first, id, kind, one, two] = parts;
  if (!first) return session.collections.length === 1 ? { to: address(["c", session.collections[0].id]) } : { run: startPage };
  if (first === "compare") return { run: compare, here: "Compare" };
  if (first !== "c") return null;
  const found = collection(id);
  if (!found) return null;
  const given = { collection: found };
  if (!kind) return { run: overview, given };
  if (kind === "q") return { run: queue, given, here: "Queue" };
  if (kind === "r" && one) return { run: recording, given: { ...given, id: one } };
  const place = (text) => (found.classes[Number(text)] === undefined ? null : Number(text));
  if (kind === "k" && place(one) !== null) return { run: classPage, given: { ...given, index: place(one) } };
  if (kind === "x" && place(one) !== null && place(two) !== null) return { run: confusionPage, given: { ...given, label: place(one), predicted: place(two) } };
  return { given, parameters };
}

async function show() {
  leaving.abort();
  document.querySelector("dialog[open]")?.close();
  leaving = new AbortController();
  const { signal } = leaving;
  const now = parse();
  const found = route(now);
  if (found?.to) { location.replace(found.to); return; }
  view.setAttribute("aria-busy", "true");
  scrollTo(0, 0);
  drawCrumbs(found, null);
  try {
    if (!found?.run) throw new Error("This address names nothing that is open here.");
    const shown = await found.run(view, { ...found.given, parameters: now.parameters, signal });
    if (signal.aborted) return;
    drawCrumbs(found, shown);
    if (document.activeElement === document.body) view.focus({ preventScroll: true });
    document.title = `${shown?.title ?? "earwitness"} \u00b7 earwitness`;
    announce(shown?.title ?? "earwitness");
  } catch (error) {
    if (isAbort(error) || signal.aborted) return;
    put(view, h("div", { class: "empty" }, h("h1", {}, "Not to be shown"), h("p", { class: "failure" }, error.message), h("p", {}, link("To the beginning", "#/"), " ", button("Try again", show))));
  } finally {
    if (!signal.aborted) view.removeAttribute("aria-busy");
  }
}

function drawCrumbs(found, shown) {
  const here = found?.given?.collection;
  put(crumbs, h("ol", {}, session.collections.length > 1 && here ? h("li", { class: "all" }, link("All", "#/")) : null,
    here ? h("li", {}, link([name(here.title)], address(["c", here.id]))) : null, here && found.run !== queue && !shown?.crumbs ? h("li", {}, link("Queue", address(["c", here.id, "q"]))) : null,
    shown?.crumbs?.map((each) => h("li", {}, each)), found?.here ? h("li", { "aria-current": "page" }, found.here) : null));
}

function drawTools() {
  const themes = ["auto", "light", "dark"];
  const symbol = { auto: "\u25d0", light: "\u2600", dark: "\u263e" };
  const theme = button("", () => { set("theme", themes[(themes.indexOf(settings.theme) + 1) % 3]); applyTheme(); say(); }, { class: "quiet-button" });
  const say = () => { theme.textContent = symbol[settings.theme]; theme.setAttribute("aria-label", `Theme: ${settings.theme}`); theme.title = `theme: ${settings.theme}`; };
  say();
  const copy = button("Copy link", async () => {
    settle();
    try { await navigator.clipboard.writeText(location.href); announce("link copied"); copy.textContent = "Copied"; } catch { prompt("The address of this view:", location.href); }
    setTimeout(() => { copy.textContent = "Copy link"; }, 1500);
  }, { class: "quiet-button", title: "this address shows the same view again" });
  put(document.getElementById("tools"), button("Ask of a file", pickFile, { class: "quiet-button", title: isTouch() ? null : "or drop a sound file on the page" }), copy, theme, button("?", showKeys, { class: "quiet-button", "aria-label": isTouch() ? "What fingers do" : "Keys" }));
}

async function begin() {
  applyTheme();
  banner(document.getElementById("banner"));
  tray(document.getElementById("jobs"));
  drawTools();
  startKeys();
  dropping(() => parse().parts[1] ?? session.collections[0]?.id);
  document.getElementById("skip").addEventListener("click", (event) => { event.preventDefault(); view.focus(); });
  try {
    Object.assign(session, await get("/api/session"));
  } catch (error) {
    put(view, h("p", { class: "empty failure" }, visible(error.message)));
    return;
  }
  // A server started again may have other runs open.
  connection.addEventListener("change", async () => { if (connection.state === "here") Object.assign(session, await get("/api/session")); });
  addEventListener("hashchange", show);
  flush();
  await show();
}

begin();
