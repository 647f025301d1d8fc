// The answer on top, and the figures under it.

import { clock, h, millis, percent, rate, svg } from "./dom.js";
import { shape } from "./words.js";

const LEVELS = {
  calm: ["healthy", "Calm"],
  watch: ["suspect", "Watch"],
  outage: ["down", "Outage"],
  lost: ["unknown", "No answer"],
};

export function answer(state) {
  if (!state.status) {
    const text = state.error ? `${state.error}.` : "Asking leeward …";
    return h("p", { class: "answer-text" }, text);
  }
  const level = state.error ? "lost" : state.status.headline.level;
  const [icon, word] = LEVELS[level];
  const text = state.error
    ? `${state.error}; what stands here is from ${clock(state.answered)} UTC.`
    : state.status.headline.text;
  return [
    h("p", { class: `answer-level is-${icon}`, "data-key": "level" }, shape(icon), word),
    h("p", { class: "answer-text", id: "headline", "data-level": level, "data-key": "text" }, whole(text)),
  ];
}

// The text with no line broken within a name or a time.
function whole(text) {
  return text.split(/(\S*[/:]\S*(?: UTC)?)/).map((part, i) => (i % 2 ? h("span", { class: "whole" }, part) : part));
}

// A line of the last samples, without axes: the number beside it says how much.
export function sparkline(values, width = 120, height = 28, name = "") {
  const known = values.filter((value) => value !== null && value !== undefined);
  const most = Math.max(...known, 0);
  const box = { class: `spark ${name}`, viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" };
  if (known.length < 2 || most === 0) {
    return svg("svg", { ...box, class: "spark is-flat" }, svg("path", { class: "spark-line", d: `M0 ${height - 1.5}H${width}` }));
  }
  const step = width / Math.max(values.length - 1, 1);
  const y = (value) => (height - 1.5 - (value / most) * (height - 3)).toFixed(1);
  let line = "";
  let pen = "M";
  values.forEach((value, i) => {
    if (value === null || value === undefined) {
      pen = "M";
      return;
    }
    line += `${pen}${(i * step).toFixed(1)} ${y(value)}`;
    pen = "L";
  });
  const area = known.length === values.length ? svg("path", { class: "spark-area", d: `${line}L${width} ${height}L0 ${height}Z` }) : null;
  return svg("svg", box, area, svg("path", { class: "spark-line", d: line }));
}

const sum = (numbers) => numbers.reduce((all, one) => all + one, 0);

// A mean of the last values, so that a number does not jump.
function lately(values) {
  const last = values.slice(-3).filter((value) => value !== null && value !== undefined);
  return last.length === 0 ? null : sum(last) / last.length;
}

function figure(name, value, unit, line, bad = false) {
  const number = h("p", { class: "figure-value" }, value, unit ? h("span", { class: "unit" }, ` ${unit}`) : null);
  return h("div", { class: `figure ${bad ? "is-bad" : ""}`, "data-key": name }, h("h2", { class: "figure-name" }, name), number, line);
}

export function figures(state) {
  const samples = state.samples.slice(-150);
  const of = (part) => samples.map((sample) => sum(Object.values(sample.pools).map((pool) => pool[part] ?? 0)));
  const answered = samples.map((sample) => sum(Object.values(sample.requests)));
  const away = samples.map((sample) => sum(["shed", "not_sent", "unavailable"].map((one) => sample.requests[one] ?? 0)));
  const failed = of("failed");
  const slow = samples.map((sample) => {
    const all = Object.values(sample.pools).map((pool) => pool.p95_ms).filter((value) => value !== null);
    return all.length === 0 ? null : Math.max(...all);
  });
  const unknown = sum(state.samples.map((sample) => sample.unknown));
  const left = capacityLeft(state.status.standing);
  const writers = [...new Set(state.status.engine.pools.map((pool) => pool.writer).filter(Boolean))];
  return [
    figure("Requests", rate(lately(answered)), "/s", sparkline(answered, 120, 28, "is-plain")),
    figure("Failed attempts", rate(lately(failed)), "/s", sparkline(failed, 120, 28, "is-bad"), lately(failed) >= 0.5),
    figure("Turned away", rate(lately(away)), "/s", sparkline(away, 120, 28, "is-bad"), lately(away) >= 0.1),
    figure("Answers begin, p95", millis(lately(slow)), "", sparkline(slow, 120, 28, "is-plain")),
    figure(left.name, left.value, left.unit, h("div", { class: "meter" }, h("div", { class: "meter-fill", style: { width: `${left.share * 100}%` } })), left.share < 0.5),
    figure("Orders go to", writers.length ? writers.join(", ") : "where reads go", "", h("p", { class: "muted small" }, unknown ? `${unknown} ended as unknown in 10 min` : "none ended as unknown"), unknown > 0),
  ];
}

function capacityLeft(standing) {
  if (standing.every((pool) => pool.capacity !== null)) {
    const all = sum(standing.map((pool) => pool.capacity));
    const left = sum(standing.map((pool) => pool.capacity_left));
    const share = all > 0 ? left / all : 1;
    return { name: "Capacity left", value: percent(share), unit: `${rate(left)}/s`, share };
  }
  const all = sum(standing.map((pool) => pool.endpoints));
  const left = sum(standing.map((pool) => pool.serving));
  return { name: "Endpoints that serve", value: String(left), unit: `of ${all}`, share: all > 0 ? left / all : 1 };
}
