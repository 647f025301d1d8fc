// Puts the page together: what is known, when it is asked for, which section shows what.

import { Refused, get, hasToken, keepToken, listen } from "./api.js";
import { answer, figures } from "./head.js";
import { flow } from "./flow.js";
import { places } from "./places.js";
import { policy } from "./policy.js";
import { pools } from "./pools.js";
import { render } from "./dom.js";
import { steer } from "./steer.js";
import { timeline } from "./timeline.js";

const EVERY_MS = 2000;
const SOON_MS = 120;
const EVENTS = 2000;
const SAMPLES = 300;
const CALLS = 500;

const state = {
  status: null,
  events: [],
  calls: [],
  samples: [],
  live: false,
  // When leeward answered last, by this browser's clock; and why it does not answer now.
  answered: null,
  error: null,
  show: "some",
};

const find = (id) => document.getElementById(id);

function draw() {
  render(find("answer"), answer(state));
  if (!state.status) return;
  render(find("live"), state.error ? "no answer" : state.live ? "live" : "connecting");
  find("live").className = `live ${state.error ? "is-lost" : state.live ? "is-live" : ""}`;
  render(find("figures"), figures(state));
  render(find("places-body"), places(state));
  const beside = find("places").offsetTop === find("flow").offsetTop;
  render(find("flow-body"), flow(state, find("flow-body").clientWidth, beside ? find("places-body").clientHeight : 0));
  render(find("timeline-body"), timeline(state));
  render(find("pools-body"), pools(state));
  render(find("policy-body"), policy(state));
  const level = state.error ? "lost" : state.status.headline.level;
  document.body.dataset.level = level;
  const sign = { calm: "", watch: "▲ ", outage: "✕ ", lost: "? " }[level];
  document.title = `${sign}leeward: ${level === "lost" ? "no answer" : level}`;
  announce(level, state.status.headline.text);
}

// Says it to those who do not see it, once for each change and not for each second of a timer.
let said = "";
function announce(level, text) {
  const now = `${level} ${text.replace(/[0-9]+/g, "")}`;
  if (now === said) return;
  said = now;
  find("announce").textContent = text;
}

let asking = false;
let again = false;
async function refresh() {
  if (asking) {
    again = true;
    return;
  }
  asking = true;
  try {
    const newest = state.samples.at(-1)?.seq ?? 0;
    const [status, samples] = await Promise.all([get("/api/v1/status"), get(`/api/v1/samples?since=${newest}`)]);
    // Another process behind the same address knows nothing of the one before.
    if (state.status && status.uptime_seconds + 1 < state.status.uptime_seconds) {
      state.samples = [];
      state.events = [];
      state.calls = [];
    }
    state.status = status;
    state.samples = [...state.samples, ...samples.samples].slice(-SAMPLES);
    state.answered = Date.now() / 1000;
    state.error = null;
  } catch (error) {
    state.error = error instanceof Refused ? error.message : "leeward does not answer";
    if (error instanceof Refused && error.status === 401) await askToken(error.message);
  }
  asking = false;
  draw();
  if (again) {
    again = false;
    soon();
  }
}

let timer = null;
function soon() {
  clearTimeout(timer);
  timer = setTimeout(refresh, SOON_MS);
}

function askToken(why) {
  const dialog = find("token");
  find("token-error").textContent = hasToken() ? why : "";
  find("token-field").value = "";
  dialog.showModal();
  return new Promise((go) => {
    dialog.addEventListener(
      "close",
      () => {
        keepToken(find("token-field").value.trim());
        find("token-field").value = "";
        again = true;
        go();
      },
      { once: true },
    );
  });
}

function hear(name, data) {
  if (name === "decision") state.events = [...state.events, data].slice(-EVENTS);
  if (name === "call") state.calls = [...state.calls, data].slice(-CALLS);
  if (name === "reset") [state.events, state.calls] = [[], []];
  soon();
}

document.addEventListener("click", (click) => {
  const button = click.target.closest("[data-do]");
  if (!button) return;
  if (button.dataset.do === "steer") steer(state, button.dataset.word, button.dataset.target, soon);
  if (button.dataset.do === "show") {
    state.show = button.dataset.show;
    for (const one of document.querySelectorAll("[data-do=show]")) {
      one.setAttribute("aria-pressed", String(one === button));
    }
    draw();
  }
});

addEventListener("resize", () => draw());

async function begin() {
  draw();
  while (!state.status) {
    await refresh();
    if (!state.status) await new Promise((go) => setTimeout(go, EVERY_MS / 4));
  }
  const [events, calls] = await Promise.all([get("/api/v1/events"), get("/api/v1/calls")]);
  [state.events, state.calls] = [events.events, calls.calls];
  draw();
  setInterval(refresh, EVERY_MS);
  listen(state.events.at(-1)?.seq ?? 0, hear, (live) => {
    state.live = live;
    soon();
  });
}

begin();
