// Which class goes where: bands from classes to sites, as wide as their shares.

import { h, percent, rate, svg } from "./dom.js";
import { inWords, providerOf, shape, tintOf } from "./words.js";

// A row and the room below it, between these: as tall as there is room for.
const ROWS = [42, 66];
const GAPS = [20, 72];
const BAR = 8;

const within = ([low, high], value) => Math.min(high, Math.max(low, value));

export function flow(state, width, tall) {
  const rows = state.status.standing.flatMap((pool) => pool.flow.map((one) => ({ ...one, pool: pool.pool })));
  if (rows.length === 0) return h("p", { class: "muted" }, "No route leads to a pool.");
  const row = within(ROWS, (tall / rows.length) * 0.6);
  const gap = within(GAPS, rows.length > 1 ? (tall - row * rows.length) / (rows.length - 1) : 0);
  const several = state.status.standing.length > 1;
  const sites = state.status.engine.sites.map((site) => ({ ...site, height: 0, taken: 0 }));
  const bySite = new Map(sites.map((site) => [site.name, site]));
  for (const one of rows) {
    for (const part of one.to) {
      const site = bySite.get(part.site);
      if (site) site.height += part.share * row;
    }
  }
  const height = layOut(rows, sites, row, gap);
  const wide = Math.max(width || 480, 280);
  const left = Math.min(170, Math.max(108, wide * 0.3));
  const right = wide - Math.min(200, Math.max(142, wide * 0.34));
  const picture = svg(
    "svg",
    { class: "flow", width: wide, height, viewBox: `0 0 ${wide} ${height}`, role: "img", "aria-label": "Which class goes to which site; the list behind this picture says the same." },
    bands(state, rows, bySite, left, right, row),
    rows.map((one) => source(state, one, several, left, row)),
    sites.map((site) => target(state, site, right)),
  );
  return [picture, h("ul", { class: "hidden", id: "flow-list" }, rows.map((row) => h("li", {}, sentence(row))))];
}

function sentence(row) {
  const to = row.to.map((part) => `${percent(part.share)} to ${part.site}`);
  return `${inWords(row.class)} of pool ${row.pool}: ${to.join(", ") || "no place to go"}`;
}

// Where each row and each site stands; both columns are centred. The height of it all.
function layOut(rows, sites, tall, gap) {
  const least = 28;
  for (const site of sites) site.box = Math.max(site.height, least);
  const sum = (all) => all.reduce((a, b) => a + b, 0);
  const columns = [rows.length * (tall + gap) - gap, sum(sites.map((site) => site.box + gap)) - gap];
  const height = Math.max(...columns) + 8;
  let y = (height - columns[0]) / 2;
  for (const row of rows) {
    row.y = y;
    y += tall + gap;
  }
  y = (height - columns[1]) / 2;
  for (const site of sites) {
    site.y = y;
    site.from = y + (site.box - site.height) / 2;
    y += site.box + gap;
  }
  return Math.ceil(height);
}

function bands(state, rows, bySite, left, right, tall) {
  return rows.flatMap((row) => {
    let y = row.y;
    return row.to.map((part) => {
      const site = bySite.get(part.site);
      if (!site) return null;
      const thick = part.share * tall;
      const [x0, x1, y0, y1] = [left + BAR, right, y + thick / 2, site.from + site.taken + thick / 2];
      y += thick;
      site.taken += thick;
      const middle = (x0 + x1) / 2;
      const d = `M${x0} ${y0.toFixed(1)}C${middle} ${y0.toFixed(1)} ${middle} ${y1.toFixed(1)} ${x1} ${y1.toFixed(1)}`;
      return svg("path", { class: "band", d, stroke: tintOf(state, part.site), "stroke-width": Math.max(thick, 1).toFixed(1), "data-key": `${row.pool} ${row.class} ${part.site}` });
    });
  });
}

function source(state, row, several, left, tall) {
  const samples = state.samples.slice(-3).map((sample) => sample.pools[row.pool]?.classes[row.class] ?? 0);
  const now = samples.length ? samples.reduce((a, b) => a + b, 0) / samples.length : null;
  const name = inWords(row.class);
  const below = `${rate(now)}/s${several ? `, ${row.pool}` : ""}`;
  const stuck = row.to.length === 0;
  return svg(
    "g",
    { class: stuck ? "is-stuck" : "", "data-key": `${row.pool} ${row.class}` },
    svg("rect", { class: "flow-bar", x: left, y: row.y, width: BAR, height: tall, rx: 2 }),
    svg("text", { class: "flow-name", x: left - 8, y: row.y + tall / 2 - 2, "text-anchor": "end" }, name),
    svg("text", { class: "flow-note", x: left - 8, y: row.y + tall / 2 + 13, "text-anchor": "end" }, stuck ? "no place to go" : below),
  );
}

function target(state, site, right) {
  const middle = site.y + site.box / 2;
  const idle = site.height === 0;
  const word = site.operator === "active" ? site.verdict : site.operator;
  const icon = shape(site.operator === "active" ? site.verdict : "operator");
  for (const [name, value] of Object.entries({ x: right + BAR + 6, y: middle - 13, width: 12, height: 12 })) icon.setAttribute(name, value);
  return svg(
    "g",
    { class: idle ? "is-idle" : "", "data-key": site.name },
    svg("rect", { class: "flow-site", x: right, y: idle ? middle - 1 : site.from, width: BAR, height: idle ? 2 : site.height, rx: 2, fill: tintOf(state, site.name) }),
    icon,
    svg("text", { class: "flow-name", x: right + BAR + 23, y: middle - 3 }, site.name.slice(providerOf(site.name).length + 1)),
    svg("text", { class: "flow-note", x: right + BAR + 23, y: middle + 11 }, `${providerOf(site.name)}, ${word}`),
  );
}
