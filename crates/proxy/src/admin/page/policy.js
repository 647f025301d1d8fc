// The policy that serves, and what became of the last one that was offered.

import { h, moment, span } from "./dom.js";

export function policy(state) {
  const { policy, version, uptime_seconds, phase, ready, connections_by_worker } = state.status;
  const { reloads } = policy;
  const listeners = Object.entries(reloads.listeners).map(([name, address]) => `${name} ${address}`);
  const open = connections_by_worker.reduce((a, b) => a + b, 0);
  const facts = [
    ["Policy", h("code", {}, policy.hash)],
    ["Loaded", [moment(reloads.loaded), " UTC"]],
    ["Listeners", listeners.join(", ") || "none"],
    ["Connections", `${open} open, ${connections_by_worker.length} workers`],
    ["leeward", `${version}, up for ${span(uptime_seconds)}, ${phase}${ready ? "" : ", not ready yet"}`],
  ];
  return [h("dl", { class: "facts wide", "data-key": "facts" }, facts.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])), problems(reloads.rejected)];
}

function problems(rejected) {
  if (!rejected) return h("p", { class: "muted", "data-key": "fine" }, "The last reload had no problems.");
  return h(
    "div",
    { class: "objections", "data-key": "rejected", role: "group", "aria-label": "Problems of the last reload" },
    h("p", {}, h("b", {}, "The reload at "), moment(rejected.time), h("b", {}, " UTC was refused."), " The policy from before serves on."),
    h("ul", {}, rejected.problems.map((problem) => h("li", {}, h("code", {}, problem)))),
  );
}
