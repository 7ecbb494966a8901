// Tabs: one panel at a time; arrow keys go from tab to tab.

import { h, unique } from "./dom.js";

// entries: [{key, text, panel: {element, shown?(), hidden?()}}]
export function tabs(label, entries, first, changed) {
  const own = unique("tabs");
  let now = null;
  const heads = entries.map((each) => h("button", { type: "button", role: "tab", id: `${own}-${each.key}`, "aria-controls": `${own}-${each.key}-panel`, on: { click: () => open(each.key) } }, each.text));
  const panels = entries.map((each) => h("div", { role: "tabpanel", class: "panel", id: `${own}-${each.key}-panel`, "aria-labelledby": `${own}-${each.key}` }, each.panel.element));
  const list = h("div", { role: "tablist", "aria-label": label, on: { keydown: (event) => {
    const at = heads.indexOf(document.activeElement);
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: heads.length - 1 }[event.key];
    if (to === undefined || at < 0) return;
    event.preventDefault();
    open(entries[(to + heads.length) % heads.length].key, true);
  } } }, heads);

  function open(key, focus = false) {
    const to = entries.some((each) => each.key === key) ? key : entries[0].key;
    const before = now;
    now = to;
    entries.forEach((each, place) => {
      const mine = each.key === to;
      heads[place].setAttribute("aria-selected", String(mine));
      heads[place].tabIndex = mine ? 0 : -1;
      panels[place].hidden = !mine;
      if (mine && before !== to) each.panel.shown?.();
      else if (!mine && each.key === before) each.panel.hidden?.();
      if (mine && focus) heads[place].focus();
    });
    if (before !== null && before !== to) changed?.(to);
  }
  open(first);
  return { element: h("div", { class: "tabs" }, list, panels), open };
}
