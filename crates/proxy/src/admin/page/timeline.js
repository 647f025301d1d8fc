// The last hour: what was held of each place as strips, and each decision with its evidence.

import { clock, h, moment } from "./dom.js";
import { evidence, inWords, shape, tintOf } from "./words.js";

const HOUR = 3600;
// A leeward that is younger than an hour has its whole life in one of these.
const SPANS = [120, 300, 600, 1200, 1800];
const MOST = 150;

export function timeline(state) {
  const now = state.status.time;
  const { sites, pools } = state.status.engine;
  const older = state.events.length > 0 && state.events[0].time < now - state.status.uptime_seconds - 1;
  reach = (older ? null : SPANS.find((span) => state.status.uptime_seconds < span - 30)) ?? HOUR;
  document.getElementById("timeline-title").textContent = reach === HOUR ? "The last hour" : `The last ${reach / 60} minutes`;
  const strips = [
    ...sites.map((site) => strip(site.name, verdicts(state, site, now))),
    ...pools.filter((pool) => pool.writer).map((pool) => strip(`orders of ${pool.name}`, writers(state, pool, now))),
  ];
  return [
    h("div", { class: "strips", "data-key": "strips" }, strips, axis(now)),
    h("p", { class: "legend small muted", "data-key": "legend" }, ["healthy", "suspect", "degraded", "down", "recovering", "unknown"].map((name) => h("span", {}, h("span", { class: `swatch is-${name}`, "aria-hidden": "true" }), name)), h("span", {}, h("span", { class: "swatch is-operator", "aria-hidden": "true" }), "an operator's word")),
    decisions(state, now),
  ];
}

// How far back the strips go, in seconds.
let reach = HOUR;

const at = (time, now) => Math.min(100, Math.max(0, ((time - (now - reach)) / reach) * 100));

function strip(name, parts) {
  const blocks = parts.map((part) =>
    h("span", { class: part.kind, title: part.title, style: { left: `${part.from}%`, width: `${Math.max(part.to - part.from, 0.2)}%`, ...(part.tint ? { "--tint": part.tint } : {}) } }, part.text),
  );
  const said = parts.map((part) => part.title).join("; ");
  return h("div", { class: "strip", "data-key": name }, h("span", { class: "strip-name" }, name), h("span", { class: "strip-track", role: "img", "aria-label": `${name}: ${said}` }, blocks));
}

function segments(changes, first, now, make) {
  const parts = [];
  let from = 0;
  let value = first;
  for (const change of changes) {
    const to = at(change.time, now);
    if (value !== null) parts.push({ ...make(value), from, to });
    [from, value] = [to, change.to];
  }
  parts.push({ ...make(value), from, to: 100 });
  return parts.filter((part) => part.to > 0);
}

function verdicts(state, site, now) {
  const mine = state.events.filter((event) => event.subject.kind === "site" && event.subject.name === site.name);
  const changes = mine.filter((event) => event.change === "verdict");
  const began = at(now - state.status.uptime_seconds, now);
  const parts = segments(changes, changes[0]?.from ?? site.verdict, now, (verdict) => ({ kind: `block is-${verdict}`, title: verdict }));
  if (began > 0 && parts.length && !mine.some((event) => at(event.time, now) < began)) parts[0].from = Math.max(parts[0].from, began);
  const words = mine.filter((event) => event.change === "operator");
  const first = words[0]?.from ?? site.operator;
  const said = segments(words, first, now, (word) => ({ kind: "block is-operator", title: word, word }));
  return [...parts, ...said.filter((part) => part.word !== "active")];
}

function writers(state, pool, now) {
  const changes = state.events.filter((event) => event.subject.kind === "pool" && event.subject.name === pool.name && event.change === "writer");
  const began = at(now - state.status.uptime_seconds, now);
  const parts = segments(changes, changes[0]?.from ?? pool.writer, now, (name) => ({ kind: "block is-writer", title: `orders go to ${name}`, text: name, tint: tintOf(state, name) }));
  if (parts.length) parts[0].from = Math.max(parts[0].from, began);
  return parts;
}

function axis(now) {
  const ticks = [];
  const step = reach < 600 ? Math.max(20, reach / 5) : reach / 6;
  for (let time = Math.ceil((now - reach) / step) * step; time <= now; time += step) {
    const left = at(time, now);
    const end = left < 8 ? "is-first" : left > 92 ? "is-last" : "";
    ticks.push(h("span", { class: `tick ${end}`, style: { left: `${left}%` } }, clock(time, reach < 600)));
  }
  return h("div", { class: "strip axis", "aria-hidden": "true" }, h("span", { class: "strip-name" }, "UTC"), h("span", { class: "strip-track" }, ticks));
}

// Of an endpoint only what took it away or brought it back matters by itself.
function matters(event) {
  if (event.change === "endpoints") return false;
  if (event.subject.kind !== "endpoint") return event.to !== "suspect" && !(event.from === "unknown" && event.to === "healthy");
  return event.change === "operator" || event.to === "down" || event.from === "down";
}

function decisions(state, now) {
  const recent = state.events.filter((event) => event.time >= now - HOUR && (state.show === "all" || matters(event)));
  const calls = state.calls.filter((call) => call.time >= now - HOUR);
  const all = [...recent.map((event) => ({ time: event.time, event })), ...calls.map((call) => ({ time: call.time, call }))];
  all.sort((a, b) => b.time - a.time);
  if (all.length === 0) return h("p", { class: "muted", "data-key": "none" }, "Nothing was decided.");
  const shown = all.slice(0, MOST);
  const more = all.length - shown.length;
  return [
    h("ol", { class: "decisions", "data-key": "list" }, shown.map(({ event, call }) => (event ? decision(event) : steering(call)))),
    more > 0 ? h("p", { class: "muted small", "data-key": "more" }, `${more} older ones: /api/v1/events has them.`) : null,
  ];
}

function change(event) {
  switch (event.change) {
    case "panic":
      return event.on ? "distrusts its detector" : "trusts its detector again";
    case "order_path":
      return `order path ${event.from} → ${event.to}`;
    case "orders_held":
      return event.on ? "orders fail, and nobody else takes them" : "orders fail no more";
    case "endpoints":
      return `${event.added} endpoints came, ${event.removed} went`;
    case "detour":
      return event.from === event.to ? "orders are back from their detour" : `orders make a detour to ${event.to}`;
    case "tier":
      return `tier ${event.from} → ${event.to}`;
    case "writer":
      return `orders: ${event.from} → ${event.to}`;
    case "operator":
      return event.to === "active" ? "restored by an operator" : `${event.to} by an operator`;
    default:
      return `${event.from} → ${event.to}`;
  }
}

const icon = (event) => (event.change === "verdict" ? event.to : event.change === "operator" ? "operator" : (event.change === "panic" || event.change === "orders_held") && event.on ? "down" : "table");

// An endpoint by its site and address: its pool and URL stand in the evidence.
function subject({ kind, name }) {
  if (kind === "site" || kind === "provider") return { short: name, more: {} };
  const [pool, site, backend, address] = name.split(" ");
  if (kind !== "endpoint" || !address) return { short: `${kind} ${name}`, more: {} };
  return { short: `${site} ${address}`, more: { endpoint: address, pool, backend } };
}

function decision(event) {
  const { short, more } = subject(event.subject);
  return h(
    "li",
    { class: "decision", "data-key": `e${event.seq}` },
    h(
      "details",
      {},
      h("summary", {}, moment(event.time), shape(icon(event)), h("span", { class: "what" }, h("b", {}, short), " ", change(event)), h("span", { class: "muted cause" }, inWords(event.cause))),
      evidence({ evidence: { ...event.evidence, ...more } }) ?? h("p", { class: "muted" }, "No more is known."),
      h("p", { class: "muted small" }, `Decision ${event.seq}`),
    ),
  );
}

const VERBS = { evacuated: "evacuate", draining: "drain", active: "restore" };

function steering(call) {
  const who = call.who ?? "nobody known";
  const said = call.status === 200;
  const text = `${said ? "said" : "was refused"}: ${VERBS[call.word] ?? call.word} ${call.targets.join(", ")}`;
  return h(
    "li",
    { class: "decision", "data-key": `c${call.seq}` },
    h(
      "details",
      {},
      h("summary", {}, moment(call.time), shape("operator"), h("span", { class: "what" }, h("b", {}, who), " ", text), h("span", { class: "muted cause" }, call.forced && said ? "forced" : "steering call")),
      evidence({ evidence: { from: call.address, role: call.role ?? "none", reason: call.reason, for: call.lasts ?? "", answer: String(call.status), error: call.error ?? "", "not noted before this": call.missing ? String(call.missing) : "" } }),
    ),
  );
}
