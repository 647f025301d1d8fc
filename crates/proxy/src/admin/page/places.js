// The map: providers, their sites, what is held of each, what share it has, and what can be said.

import { h, moment, percent, span } from "./dom.js";
import { chip, evidence, inWords, providerOf, tint, unix } from "./words.js";

export function places(state) {
  const { providers, sites, pools } = state.status.engine;
  return h(
    "ul",
    { class: "providers" },
    providers.map((provider, position) =>
      h(
        "li",
        { class: "provider", "data-key": provider.name, style: { "--tint": tint(position) } },
        h("div", { class: "provider-head" }, h("h3", {}, provider.name), chip(provider), timers(provider), words(provider)),
        h("ul", { class: "sites" }, sites.filter((site) => providerOf(site.name) === provider.name).map((site) => place(state, site, pools))),
      ),
    ),
  );
}

function place(state, site, pools) {
  const short = site.name.slice(site.name.indexOf("/") + 1);
  const here = pools.filter((pool) => pool.endpoints.some((endpoint) => endpoint.site === site.name));
  const writes = pools.filter((pool) => pool.writer === providerOf(site.name) && takesOrders(state, pool.name, site.name));
  return h(
    "li",
    { class: "site", "data-key": site.name },
    h(
      "div",
      { class: "site-head" },
      h("h4", {}, short),
      chip(site),
      writes.length ? h("span", { class: "badge", title: `orders of ${writes.map((pool) => pool.name).join(", ")} go here` }, "orders") : null,
      timers(site),
      words(site),
    ),
    h("p", { class: "small muted why" }, `${inWords(site.cause)} · since `, moment(unix(state, site.since)), site.endpoints_down ? `, ${site.endpoints_down} of ${site.endpoints} endpoints down` : null, operator(site)),
    h("div", { class: "bars" }, here.map((pool) => bar(pool, site.name, here.length + pools.length > 2))),
    site.verdict === "healthy" || site.verdict === "unknown" ? null : h("details", { class: "small" }, h("summary", {}, "Evidence"), evidence(site) ?? "none"),
  );
}

function takesOrders(state, pool, site) {
  const flows = state.status.standing.find((one) => one.pool === pool)?.flow ?? [];
  return flows.some((flow) => (flow.class === "order" || flow.class === "cancel") && flow.to.some((part) => part.site === site));
}

function bar(pool, site, named) {
  const share = pool.shares.find(([name]) => name === site)?.[1] ?? 0;
  return h(
    "div",
    { class: "bar", "data-key": pool.name },
    named ? h("span", { class: "bar-name" }, pool.name) : h("span", { class: "bar-name" }, "reads"),
    h("span", { class: "bar-track", "aria-hidden": "true" }, h("span", { class: "bar-fill", style: { width: `${(share * 100).toFixed(1)}%` } })),
    h("span", { class: "bar-value" }, percent(share)),
  );
}

function operator(held) {
  if (held.operator === "active") return null;
  const lapses = held.operator_lapses_in_ms === null ? "" : `, lapses in ${span(held.operator_lapses_in_ms / 1000)}`;
  return held.operator_reason ? `, “${held.operator_reason}”${lapses}` : lapses;
}

// What is left of the hold-down and the ramp.
function timers(held) {
  const told = [];
  if (held.hold_down_left_ms > 0) told.push(`hold-down ${span(held.hold_down_left_ms / 1000)}`);
  if (held.ramp_left_ms > 0) told.push(`ramp ${span(held.ramp_left_ms / 1000)}`);
  return told.length ? h("span", { class: "timer small muted" }, told.join(", ")) : null;
}

function words(held) {
  const button = (word, text) =>
    h("button", { type: "button", class: "quiet", "data-do": "steer", "data-word": word, "data-target": held.name, "aria-label": `${text} ${held.name}`, "data-key": word }, text);
  const waits = held.cause === "awaits_operator" || held.cause === "awaits_window";
  return h(
    "span",
    { class: "words" },
    held.operator !== "active" || waits ? button("restore", "Restore") : null,
    held.operator !== "evacuated" ? button("evacuate", "Evacuate") : null,
    held.operator === "active" ? button("drain", "Drain") : null,
  );
}
