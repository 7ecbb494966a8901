// Says when the server is gone, how to start it again, and what is kept meanwhile.

import { connection } from "./api.js";
import { announce, button, h, put } from "./dom.js";
import { plural } from "./format.js";
import { flush, outbox } from "./outbox.js";

export function banner(root) {
  let before = "here";
  const draw = () => {
    const kept = outbox.size ? ` ${plural(outbox.size, "decision")} ${outbox.size === 1 ? "is" : "are"} kept in this browser and will be sent.` : "";
    const { state } = connection;
    root.hidden = state === "here" && !outbox.failure;
    if (state === "gone") put(root, h("p", {}, h("b", {}, "The server does not answer. "), "Start it again with ", h("code", {}, "earwitness serve"), " and the same folders: this page goes on by itself.", kept));
    else if (state === "stranger") put(root, h("p", {}, h("b", {}, "The server was started again. "), "Open the address that it printed, in this browser: this page goes on by itself.", kept));
    else if (outbox.failure) put(root, h("p", {}, h("b", {}, "A decision was not taken: "), outbox.failure, " ", button("Close", () => { outbox.failure = null; flush(); draw(); })));
    if (before !== "here" && state === "here") announce("the server is back");
    before = state;
  };
  connection.addEventListener("change", draw);
  outbox.addEventListener("change", draw);
  draw();
}
