// The address says everything that is shown: `#/path/parts?parameters`. A copied address restores the view.

export function parse(hash = location.hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split("?");
  const parts = path.split("/").filter(Boolean).map((part) => {
    try { return decodeURIComponent(part); } catch { return part; }
  });
  return { parts, path: parts.join("/"), parameters: new URLSearchParams(query) };
}

export function address(parts, parameters = {}) {
  const query = new URLSearchParams();
  const given = parameters instanceof URLSearchParams ? parameters : Object.entries(parameters);
  for (const [key, value] of given) {
    if (value !== null && value !== undefined && value !== "") query.set(key, value);
  }
  const text = query.toString();
  return `#/${parts.map(encodeURIComponent).join("/")}${text ? `?${text}` : ""}`;
}

export function go(to) {
  settle();
  location.hash = to;
}

const REST = 350; // milliseconds: browsers refuse pages that change their address more often than some times a second
let waiting = {}, timer = 0, last = -REST;

// Another state of the same view: no new entry in the history, and no event.
export function amend(parameters) {
  Object.assign(waiting, parameters);
  clearTimeout(timer);
  if (performance.now() - last >= REST) settle(); else timer = setTimeout(settle, REST);
}

// Writes what waits, as before the address is copied or left.
export function settle() {
  clearTimeout(timer);
  const { parts, parameters: now } = parse();
  for (const [key, value] of Object.entries(waiting)) {
    if (value === null || value === undefined || value === "") now.delete(key);
    else now.set(key, value);
  }
  if (!Object.keys(waiting).length) return;
  waiting = {};
  const next = address(parts, now);
  if (next === location.hash) return;
  last = performance.now();
  history.replaceState(history.state, "", next);
}

// What waits belongs to the view that is left: a click on a link writes it first, and what is late is dropped.
addEventListener("click", settle, { capture: true });
addEventListener("pagehide", settle);
addEventListener("hashchange", () => { clearTimeout(timer); waiting = {}; });

export const number = (parameters, key) => {
  const text = parameters.get(key);
  const value = text === null || text === "" ? NaN : Number(text);
  return Number.isFinite(value) ? value : null;
};
