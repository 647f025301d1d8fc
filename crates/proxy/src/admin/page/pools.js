// Pools and their endpoints: verdicts, shares, and the last minutes as small lines.

import { h, millis, moment, percent, rate } from "./dom.js";
import { chip, evidence, inWords, unix } from "./words.js";
import { sparkline } from "./head.js";

const SHOWN = 150;
// Endpoints of a pool that are shown at most; those that are not well come before the rest.
const MOST = 80;

export function pools(state) {
  const samples = state.samples.slice(-SHOWN);
  return state.status.engine.pools.map((pool) => {
    const standing = state.status.standing.find((one) => one.pool === pool.name);
    return h("article", { class: "pool", "data-key": pool.name }, head(pool, standing, samples), table(state, pool, samples));
  });
}

function head(pool, standing, samples) {
  const of = (part) => samples.map((sample) => sample.pools[pool.name]?.[part] ?? null);
  const facts = [`tier ${pool.active_tier} carries most reads`, pool.writer ? `orders go to ${pool.writer}` : "orders go where reads go"];
  if (standing?.capacity) facts.push(`${rate(standing.capacity_left)} of ${rate(standing.capacity)}/s left`);
  if (pool.demand !== null) facts.push(`${rate(pool.demand)}/s wanted`);
  return h(
    "div",
    { class: "pool-head" },
    h("div", {}, h("h3", {}, pool.name), h("p", { class: "small muted" }, facts.join(" · ")), pool.panic ? h("p", { class: "error" }, "Everything looks bad: leeward distrusts its detector and serves from what is least bad.") : null, pool.orders_held ? h("p", { class: "error" }, `Orders fail at ${pool.writer} while reads succeed, and nobody else takes them.`) : null),
    h("div", { class: "trio" }, line("attempts", of("rate"), (value) => `${rate(value)}/s`, "is-plain"), line("failed", of("failed"), (value) => `${rate(value)}/s`, "is-bad"), line("p95", of("p95_ms"), millis, "is-plain")),
  );
}

function line(name, values, show, kind) {
  const last = values.filter((value) => value !== null).at(-1);
  return h("div", { class: "mini", "data-key": name }, h("span", { class: "small muted" }, name), sparkline(values, 90, 22, kind), h("span", { class: "mini-value" }, last === undefined ? "–" : show(last)));
}

const COLUMNS = ["Endpoint", "Verdict", "Share", "Attempts", "Failed", "Probe"];

function shown(pool) {
  if (pool.endpoints.length <= MOST) return pool.endpoints;
  const sick = pool.endpoints.filter((endpoint) => endpoint.verdict !== "healthy");
  const well = pool.endpoints.filter((endpoint) => endpoint.verdict === "healthy");
  return [...sick, ...well].slice(0, MOST);
}

function table(state, pool, samples) {
  const endpoints = shown(pool);
  const more = pool.endpoints.length - endpoints.length;
  const rest = more > 0 ? h("p", { class: "muted small", "data-key": "more" }, `${more} more: /api/v1/status has them.`) : null;
  return [list(state, pool, endpoints, samples), rest];
}

function list(state, pool, endpoints, samples) {
  return h(
    "table",
    { class: "endpoints" },
    h("caption", { class: "hidden" }, `Endpoints of pool ${pool.name}`),
    h("thead", {}, h("tr", {}, COLUMNS.map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, endpoints.map((endpoint) => row(state, pool, endpoint, samples))),
  );
}

function row(state, pool, endpoint, samples) {
  const key = `${pool.name} ${endpoint.backend} ${endpoint.address}`;
  const of = (part) => samples.map((sample) => sample.endpoints[key]?.[part] ?? null);
  const cell = (name, values, show, kind) => {
    const last = values.filter((value) => value !== null).at(-1);
    return h("td", { "data-name": name, class: "number" }, h("span", { class: "cell" }, sparkline(values, 72, 20, kind), h("span", { class: "mini-value" }, last === undefined ? "–" : show(last))));
  };
  return h(
    "tr",
    { "data-key": key },
    h("th", { scope: "row" }, h("span", { class: "address" }, endpoint.address), h("span", { class: "small muted" }, `${endpoint.site} · ${endpoint.backend}${endpoint.listed ? "" : " · not listed any more"}`)),
    h(
      "td",
      { "data-name": "Verdict" },
      h("details", {}, h("summary", {}, chip(endpoint)), h("p", { class: "small muted" }, `${inWords(endpoint.cause)} · since `, moment(unix(state, endpoint.since))), evidence(endpoint), h("p", { class: "small muted" }, endpoint.last_probe ? `last probe: ${endpoint.last_probe}` : "not probed yet")),
      endpoint.orders.verdict === "healthy" ? null : h("p", { class: "small error", title: inWords(endpoint.orders.cause) }, endpoint.orders.verdict === "down" ? "orders fail here" : "orders are on trial here"),
    ),
    h("td", { "data-name": "Share", class: "number" }, percent(endpoint.share)),
    cell("Attempts", of(0), (value) => `${rate(value)}/s`, "is-plain"),
    cell("Failed", of(1), (value) => `${rate(value)}/s`, "is-bad"),
    cell("Probe", of(2), millis, "is-plain"),
  );
}
