// The admin API: answers, and the stream of decisions. The token stays in this tab.

const KEY = "leeward-token";
// The stream gives a sign of life every five seconds.
const SILENCE_MS = 16000;

export class Refused extends Error {
  constructor(status, body) {
    super(body?.error ?? `the answer was ${status}`);
    this.status = status;
    this.body = body;
  }
}

export function keepToken(token) {
  if (token) sessionStorage.setItem(KEY, token);
  else sessionStorage.removeItem(KEY);
}

export const hasToken = () => sessionStorage.getItem(KEY) !== null;

function headers(more) {
  const token = sessionStorage.getItem(KEY);
  return token ? { ...more, Authorization: `Bearer ${token}` } : more;
}

async function answer(response) {
  const text = await response.text();
  let body = null;
  try {
    body = JSON.parse(text);
  } catch {
    body = { error: text.trim() || undefined };
  }
  if (!response.ok) throw new Refused(response.status, body);
  return body;
}

const common = { cache: "no-store", credentials: "same-origin", redirect: "error" };

export async function get(path) {
  const signal = AbortSignal.timeout(5000);
  return answer(await fetch(path, { ...common, headers: headers({}), signal }));
}

export async function post(path, body) {
  const signal = AbortSignal.timeout(5000);
  const kind = headers({ "Content-Type": "application/json" });
  return answer(await fetch(path, { ...common, method: "POST", headers: kind, body: JSON.stringify(body), signal }));
}

// Reads the stream for ever: `hear(name, data, id)` for each event, `state(live)` when it comes or
// goes. Goes on from where it was.
export async function listen(last, hear, state) {
  let pause = 500;
  for (;;) {
    const ended = new AbortController();
    let timer = null;
    const alive = () => {
      clearTimeout(timer);
      timer = setTimeout(() => ended.abort(), SILENCE_MS);
    };
    try {
      alive();
      const wanted = headers({ Accept: "text/event-stream", "Last-Event-ID": String(last) });
      const response = await fetch("/api/v1/events", { ...common, headers: wanted, signal: ended.signal });
      if (!response.ok) throw new Refused(response.status, null);
      state(true);
      pause = 500;
      await read(response.body, alive, (name, data, id) => {
        if (name === "reset") last = 0;
        if (id !== null) last = id;
        hear(name, data, id);
      });
    } catch {
      // It comes again; the page says meanwhile that it is not live.
    }
    clearTimeout(timer);
    state(false);
    await new Promise((go) => setTimeout(go, pause * (0.5 + Math.random())));
    pause = Math.min(pause * 2, 10000);
  }
}

async function read(body, alive, hear) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    alive();
    rest += value;
    const blocks = rest.split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) tell(block, hear);
  }
}

function tell(block, hear) {
  let name = "message";
  let id = null;
  let data = "";
  for (const line of block.split("\n")) {
    const at = line.indexOf(": ");
    if (at <= 0) continue;
    const value = line.slice(at + 2);
    if (line.startsWith("event:")) name = value;
    else if (line.startsWith("id:")) id = Number(value);
    else if (line.startsWith("data:")) data += value;
  }
  if (data !== "") hear(name, JSON.parse(data), id);
}
