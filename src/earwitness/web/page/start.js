// The beginning, where several runs or folders are open.

import { h, link, name, put } from "./dom.js";
import { plural } from "./format.js";
import { address } from "./router.js";
import { session } from "./store.js";

export function startPage(root) {
  const { collections } = session;
  put(root, h("div", { class: "start" }, h("h1", {}, "What is open"),
    collections.length ? h("ul", { class: "collections" }, collections.map((each) => h("li", {}, h("a", { class: "figure-card", href: address(["c", each.id]) },
      h("b", {}, name(each.title)), h("span", {}, `${each.kind === "run" ? "run" : "folder"} \u00b7 ${each.backbone}`), h("span", { class: "quiet" }, `${plural(each.recordings, "recording")}, ${plural(each.classes.length, "class", "classes")}`)))))
      : h("p", { class: "empty" }, "Nothing is open. Start the server with a run: ", h("code", {}, "earwitness serve RUN")),
    collections.length > 1 ? h("p", {}, link("Compare two of them on the same recording", "#/compare", { class: "button" })) : null));
  return { title: "What is open" };
}
