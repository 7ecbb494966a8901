// Bars beside scores: of probabilities alone, for other scores have no end that a bar could reach.

import { h } from "./dom.js";

const wide = (value) => `${100 * Math.min(1, Math.max(0, value ?? 0))}%`;

const isProbability = (collection) => collection.activation !== "none";

export function scoreBar(collection, value) {
  return isProbability(collection) ? h("span", { class: "score-bar", "aria-hidden": "true" }, h("span", { style: { width: wide(value) } })) : null;
}

export function beforeAndAfter(collection, before, after) {
  if (!isProbability(collection)) return null;
  return h("span", { class: "before-after", "aria-hidden": "true" }, h("span", { class: "before", style: { width: wide(before) } }), h("span", { class: "after", style: { width: wide(after) } }));
}
