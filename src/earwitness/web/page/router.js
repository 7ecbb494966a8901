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

export function go(to) { location.hash = to; }

// Another state of the same view: no new entry in the history, and no event.
export function amend(parameters) {
  const { parts, parameters: now } = parse();
  for (const [key, value] of Object.entries(parameters)) {
    if (value === null || value === undefined || value === "") now.delete(key);
    else now.set(key, value);
  }
  const next = address(parts, now);
  if (next !== location.hash) history.replaceState(history.state, "", next);
}

export const number = (parameters, key) => {
  const text = parameters.get(key);
  const value = text === null || text === "" ? NaN : Number(text);
  return Number.isFinite(value) ? value : null;
};
