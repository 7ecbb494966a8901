// The order in which recordings are gone through: that of the queue they were opened from, as it was then. A decision
// takes a recording out of "unreviewed", but not out from under the person who decides.

import { get, paths, query } from "./api.js";
import { address } from "./router.js";

export const PAGE = 200;
const orders = new Map(); // by collection and filter: {total, ids: sparse array}

export const filterOf = (parameters) => {
  const kept = {};
  for (const key of ["show", "label", "predicted", "text", "sort", "descending"]) if (parameters.get(key)) kept[key] = parameters.get(key);
  return kept;
};

const key = (collection, filter) => `${collection}?${new URLSearchParams(filter)}`;

export function remember(collection, filter, offset, total, ids) {
  const order = orders.get(key(collection, filter)) ?? { ids: [] };
  order.total = total;
  ids.forEach((id, place) => { order.ids[offset + place] = id; });
  orders.set(key(collection, filter), order);
}

// The recordings from a place of that order on.
export const following = (collection, filter, index) => orders.get(key(collection, filter))?.ids.slice(index) ?? [];

export const forget = (collection, filter) => orders.delete(key(collection, filter));

export const page = (collection, filter, offset, signal, limit = PAGE) =>
  get(`${paths.collection(collection)}/recordings${query({ ...filter, offset, limit })}`, signal);

// The recording so many steps on, as {id, index}, or null at an end. Without a queue it is the next by name.
export async function stepFrom({ collection, recording, parameters }, by, signal) {
  const index = Number(parameters.get("i") ?? NaN);
  if (!parameters.has("from") || !Number.isInteger(index)) {
    const id = by > 0 ? recording.next : recording.previous;
    return id ? { id, index: null } : null;
  }
  const filter = filterOf(new URLSearchParams(parameters.get("from")));
  const which = key(collection, filter);
  const ask = async (around) => {
    const found = await page(collection, filter, Math.max(0, around - PAGE / 2), signal);
    remember(collection, filter, found.offset, found.total, found.items.map((each) => each.id));
    return found;
  };
  let wanted = index + by;
  if (orders.get(which)?.ids[index] !== recording.id) {
    // After a reload: the list may be shorter than it was, or hold the recording no more; then from its beginning.
    forget(collection, filter);
    const { items, offset } = await ask(index);
    const place = items.findIndex((each) => each.id === recording.id);
    wanted = place < 0 ? by - 1 : offset + place + by;
  }
  if (wanted < 0) return null;
  const { ids, total } = orders.get(which);
  if (!ids[wanted] && wanted < total) await ask(wanted);
  const id = orders.get(which).ids[wanted];
  return id ? { id, index: wanted } : null;
}

export const recordingAddress = (collection, id, extra = {}) => address(["c", collection, "r", id], extra);
