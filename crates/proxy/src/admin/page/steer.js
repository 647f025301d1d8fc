// Evacuate, drain, restore: what would move is shown before it is said.

import { h, percent, rate, render } from "./dom.js";
import { Refused, post } from "./api.js";

const WORDS = {
  evacuate: ["Evacuate", "New work goes elsewhere, reads in flight are placed elsewhere, streams end at once."],
  drain: ["Drain", "New work goes elsewhere; what is under way may end, streams end one by one."],
  restore: ["Restore", "It comes home on its ramp, as soon as it is well."],
};
const SPANS = [["", "until it is restored"], ["15m", "for 15 minutes"], ["30m", "for 30 minutes"], ["1h", "for an hour"], ["4h", "for 4 hours"]];

const dialog = document.getElementById("steer");
// What the dialog is about; nothing while it is closed.
let about = null;

export function steer(state, word, target, done) {
  about = { word, target, done, report: null, refused: null, error: null, busy: false };
  const [verb, meaning] = WORDS[word];
  const title = `${verb} ${target}`;
  render(
    dialog,
    h(
      "form",
      { id: "steer-form", novalidate: true },
      h("h2", { id: "steer-title" }, title),
      h("p", { class: "muted" }, meaning),
      h("div", { class: "fields" }, h("div", {}, h("label", { for: "steer-reason" }, "Reason, for the journal"), h("input", { id: "steer-reason", maxlength: 400, autocomplete: "off" })), word === "restore" ? null : h("div", {}, h("label", { for: "steer-for" }, "How long"), h("select", { id: "steer-for" }, SPANS.map(([value, text]) => h("option", { value }, text))))),
      h("h3", {}, "What will move"),
      h("div", { id: "steer-prospect", "aria-live": "polite" }),
      h("div", { class: "row" }, h("button", { type: "button", id: "steer-cancel" }, "Cancel"), h("button", { type: "submit", class: "main", id: "steer-go" }, title)),
    ),
  );
  document.getElementById("steer-reason").value = "";
  if (word !== "restore") document.getElementById("steer-for").value = "";
  document.getElementById("steer-form").onsubmit = (submit) => {
    submit.preventDefault();
    go();
  };
  document.getElementById("steer-cancel").onclick = () => dialog.close();
  dialog.showModal();
  document.getElementById("steer-reason").focus();
  look();
}

dialog.addEventListener("close", () => (about = null));

const forced = () => document.getElementById("steer-force")?.checked ?? false;

function body(more) {
  const reason = document.getElementById("steer-reason").value.trim();
  const lasts = document.getElementById("steer-for")?.value;
  return { targets: [about.target], reason, ...(lasts ? { for: lasts } : {}), ...more };
}

// Asks what would follow.
async function look() {
  const asked = about;
  try {
    asked.report = await post(`/api/v1/${asked.word}`, { targets: [asked.target], dry_run: true });
  } catch (error) {
    if (error instanceof Refused && error.status === 409) asked.refused = error.body;
    else asked.error = error.message;
  }
  if (about === asked) draw();
}

async function go() {
  if (about.busy) return;
  const asked = about;
  if (forced() && !document.getElementById("steer-reason").value.trim()) {
    asked.error = "What is forced needs a reason.";
    draw();
    document.getElementById("steer-reason").focus();
    return;
  }
  asked.busy = true;
  asked.error = null;
  draw();
  try {
    await post(`/api/v1/${asked.word}`, body({ force: forced() }));
    if (about === asked) dialog.close();
    asked.done();
  } catch (error) {
    if (error instanceof Refused && error.status === 409) asked.refused = error.body;
    else asked.error = error.message;
    asked.busy = false;
    if (about === asked) draw();
  }
}

function draw() {
  const shown = about.report ?? about.refused;
  const button = document.getElementById("steer-go");
  button.disabled = about.busy || !shown;
  render(
    document.getElementById("steer-prospect"),
    about.error ? h("p", { class: "error", role: "alert", "data-key": "error" }, about.error) : null,
    about.refused ? against(about.refused) : null,
    shown?.still?.length ? still(shown.still) : null,
    shown ? (shown.pools.length ? shown.pools.map(pool) : h("p", { class: "muted", "data-key": "none" }, "No pool has anything there.")) : about.error ? null : h("p", { class: "muted", "data-key": "wait" }, "Asking leeward …"),
  );
}

function against(report) {
  return h(
    "div",
    { class: "objections", role: "alert", "data-key": "against" },
    h("p", {}, h("b", {}, "leeward would refuse this: it takes away what is needed.")),
    h("ul", {}, report.objections.map((objection) => h("li", {}, objection.text))),
    h("label", { class: "check" }, h("input", { type: "checkbox", id: "steer-force" }), " Say it all the same; the journal keeps the reason"),
  );
}

function still(words) {
  return h(
    "div",
    { "data-key": "still" },
    h("p", {}, "Words of their own stay, and are restored one by one:"),
    h("ul", {}, words.map((one) => h("li", {}, `${one.target}: ${one.word}${one.reason ? ` (${one.reason})` : ""}`))),
  );
}

function pool(one) {
  const sites = one.after.shares.map(([site, after]) => {
    const before = one.before.shares.find(([name]) => name === site)?.[1] ?? 0;
    return h("tr", { class: Math.abs(after - before) >= 0.005 ? "is-moved" : "" }, h("th", { scope: "row" }, site), h("td", { class: "number" }, percent(before)), h("td", { "aria-hidden": "true" }, "→"), h("td", { class: "number" }, percent(after)), h("td", { class: "wide", "aria-hidden": "true" }, h("span", { class: "bar-track" }, h("span", { class: "bar-was", style: { width: `${before * 100}%` } }), h("span", { class: "bar-fill", style: { width: `${after * 100}%` } }))));
  });
  const writer = one.before.writer === one.after.writer ? `stay at ${one.after.writer ?? "where reads go"}` : `move from ${one.before.writer} to ${one.after.writer}`;
  const room = one.after.capacity === null ? `${one.after.endpoints} of ${one.before.endpoints} endpoints are left` : `${rate(one.after.capacity)}/s of ${rate(one.before.capacity)}/s are left`;
  return h(
    "div",
    { class: "prospect", "data-key": one.name },
    h("table", {}, h("caption", {}, `Reads of pool ${one.name}`), h("tbody", {}, sites)),
    h("p", {}, "Orders ", h("b", {}, writer), `; ${room}, ${rate(one.needed)}/s are needed now.`),
  );
}
