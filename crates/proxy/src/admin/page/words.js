// Verdicts as shapes and words: the shape says the same as the colour.

import { h, svg } from "./dom.js";

const SHAPES = {
  healthy: "M8 2.2a5.8 5.8 0 1 0 0 11.6A5.8 5.8 0 0 0 8 2.2z",
  suspect: "M8 1.8 14.6 13.6H1.4z",
  degraded: "M8 1.4 14.6 8 8 14.6 1.4 8z",
  down: "M4.1 1.8 8 5.7l3.9-3.9 2.3 2.3L10.3 8l3.9 3.9-2.3 2.3L8 10.3l-3.9 3.9-2.3-2.3L5.7 8 1.8 4.1z",
  recovering: "M8 1.6 14 8h-3.6v6.2H5.6V8H2z",
  unknown: "M8 2.2a5.8 5.8 0 1 0 0 11.6A5.8 5.8 0 0 0 8 2.2zm0 2.6a3.2 3.2 0 1 1 0 6.4 3.2 3.2 0 0 1 0-6.4z",
  operator: "M8 1.6a3.3 3.3 0 1 1 0 6.6 3.3 3.3 0 0 1 0-6.6zM2.2 14.4c0-3.4 2.5-5 5.8-5s5.8 1.6 5.8 5z",
  table: "M2 3h12v3H2zm0 4.6h8v3H2zm0 4.6h5v2.2H2z",
};

export function shape(name) {
  const path = svg("path", { d: SHAPES[name] ?? SHAPES.unknown });
  return svg("svg", { class: `shape is-${name}`, viewBox: "0 0 16 16", "aria-hidden": "true" }, path);
}

export const inWords = (word) => String(word).replaceAll("_", " ");

// What is held of a place or endpoint, the operator's word before the verdict.
export function chip(held) {
  const word = held.operator && held.operator !== "active" ? held.operator : held.verdict;
  const name = word === held.verdict ? word : "operator";
  return h("span", { class: `chip is-${name}` }, shape(name), word);
}

// The colour of a provider, by its position in the policy.
export const tint = (position) => `var(--tint-${((position % 6) + 6) % 6})`;

export const providerOf = (site) => site.split("/")[0];

export function tintOf(state, site) {
  const names = state.status.engine.providers.map((provider) => provider.name);
  return tint(names.indexOf(providerOf(site)));
}

// Seconds since 1970 of a moment on the engine's clock.
export function unix(state, nanos) {
  const status = state.status;
  return status.time - status.uptime_seconds + nanos / 1e9;
}

export function evidence(held) {
  const facts = Object.entries(held.evidence ?? {}).filter(([, value]) => value !== "");
  if (facts.length === 0) return null;
  return h("dl", { class: "facts" }, facts.map(([name, value]) => [h("dt", {}, inWords(name)), h("dd", {}, value)]));
}
