// The order in which recordings are gone through: that of the queue they were opened from, as it was then. A decision
// takes a recording out of "unreviewed", but not out from under the person who decides.

import { get, paths, query } from "./api.js";
import { reviewOf } from "./reviews.js";
import { address } from "./router.js";

export const PAGE = 200;
const orders = new Map(); // by collection and filter: {total, ids: sparse array}

export const filterOf = (parameters) => {
  const kept = {};
  for (const key of ["show", "label", "predicted", "text", "sort", "descending"]) if (parameters.get(key)) kept[key] = parameters.get(key);
  return kept;
};

const key = (collection, filter) => `${collection}?${new URLSearchParams(filter)}`;

// The recordings from a place of that order on.
export const following = (collection, filter, index) => orders.get(key(collection, filter))?.ids.slice(index) ?? [];

export const forget = (collection, filter) => orders.delete(key(collection, filter));

export const page = (collection, filter, offset, signal, limit = PAGE) =>
  get(`${paths.collection(collection)}/recordings${query({ ...filter, offset, limit })}`, signal);

// A part of the order that is gone through, which is remembered. The server's list of the unreviewed has become shorter by
// what was decided meanwhile; here each recording keeps its place.
export async function part(collection, filter, offset, signal) {
  const order = orders.get(key(collection, filter)) ?? { ids: [] };
  const gone = order.ids.map((id, place) => (filter.show === "unreviewed" && reviewOf(collection, { id }) ? place : null)).filter((place) => place !== null);
  const found = await page(collection, filter, offset - gone.filter((place) => place < offset).length, signal);
  order.total = found.total + gone.length;
  found.items.forEach((each, place) => { order.ids[offset + place] = each.id; });
  orders.set(key(collection, filter), order);
  return { items: found.items, offset, total: order.total };
}

// The recording so many steps on, as {id, index}, or null at an end. Without a queue it is the next by name.
export async function stepFrom({ collection, recording, parameters }, by, signal) {
  const index = Number(parameters.get("i") ?? NaN);
  if (!parameters.has("from") || !Number.isInteger(index)) {
    const id = by > 0 ? recording.next : recording.previous;
    return id ? { id, index: null } : null;
  }
  const filter = filterOf(new URLSearchParams(parameters.get("from")));
  const which = key(collection, filter);
  let wanted = index + by;
  if (orders.get(which)?.ids[index] !== recording.id) {
    // After a reload: the list may be shorter than it was, or hold the recording no more; then from its beginning.
    forget(collection, filter);
    const { items, offset } = await part(collection, filter, Math.max(0, index - PAGE / 2), signal);
    const place = items.findIndex((each) => each.id === recording.id);
    wanted = place < 0 ? by - 1 : offset + place + by;
  }
  if (wanted < 0) return null;
  const { ids, total } = orders.get(which);
  if (!ids[wanted] && wanted < total) await part(collection, filter, by > 0 ? wanted : Math.max(0, index - PAGE), signal);
  const id = orders.get(which).ids[wanted];
  return id ? { id, index: wanted } : null;
}

export const recordingAddress = (collection, id, extra = {}) => address(["c", collection, "r", id], extra);
