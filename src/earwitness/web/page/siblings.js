// Tabs of this browser tell each other what was decided and kept, so that each shows it without a reload.

const channel = new BroadcastChannel("earwitness"); // of one server: browsers part channels by port

export const tell = (what, detail) => channel.postMessage({ what, detail });

export const told = (what, run, signal) =>
  channel.addEventListener("message", ({ data }) => { if (data.what === what) run(data.detail); }, { signal });
