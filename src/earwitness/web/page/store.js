// What this browser remembers of the person's settings, and what the server said of the session.

const KEY = "earwitness.settings";
const DEFAULTS = { theme: "auto", opacity: 0.8, autoplay: false, volume: 1, marks: true };

export const changes = new EventTarget();
export const settings = { ...DEFAULTS, ...read(KEY, {}) };
export const session = { version: "", collections: [] };

// A browser may forbid storage (private windows, policies): the page works all the same, and forgets.
export function read(key, otherwise) {
  try { return JSON.parse(localStorage.getItem(key)) ?? otherwise; } catch { return otherwise; }
}

export function write(key, value) {
  try { localStorage.setItem(key, JSON.stringify(value)); return true; } catch { return false; }
}

export function set(key, value) {
  settings[key] = value;
  write(KEY, settings);
  changes.dispatchEvent(new CustomEvent(key, { detail: value }));
}

export const collection = (id) => session.collections.find((each) => each.id === id) ?? null;

export function applyTheme() {
  const root = document.documentElement;
  if (settings.theme === "auto") delete root.dataset.theme;
  else root.dataset.theme = settings.theme;
  changes.dispatchEvent(new CustomEvent("theme"));
}

export const isDark = () => settings.theme === "dark" || (settings.theme === "auto" && matchMedia("(prefers-color-scheme: dark)").matches);
