// Elements, and how a section takes its next shape without losing focus or what is unfolded.
// Text goes in as text, never as markup.

const SVG = "http://www.w3.org/2000/svg";

function build(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "style") {
      for (const [key, one] of Object.entries(value)) node.style.setProperty(key, one);
    } else {
      node.setAttribute(name, value === true ? "" : String(value));
    }
  }
  for (const child of children.flat(Infinity)) {
    if (child === undefined || child === null || child === false) continue;
    node.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return node;
}

// An element: its attributes, then what is in it. `key` tells it from its neighbours.
export function h(tag, attributes, ...children) {
  return build(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes, ...children) {
  return build(document.createElementNS(SVG, tag), attributes, children);
}

// Makes the content of `root` look like `nodes`.
export function render(root, ...nodes) {
  const next = document.createElement("div");
  build(next, {}, nodes);
  children(root, next);
}

const keyOf = (node) => (node.nodeType === Node.ELEMENT_NODE ? node.getAttribute("data-key") : null);

const alike = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName && keyOf(a) === keyOf(b);

function children(now, next) {
  const keyed = new Map();
  for (const child of now.childNodes) {
    if (keyOf(child)) keyed.set(keyOf(child), child);
  }
  let cursor = now.firstChild;
  for (const wanted of [...next.childNodes]) {
    const key = keyOf(wanted);
    let found = null;
    if (key) found = keyed.get(key) ?? null;
    else if (cursor && alike(cursor, wanted)) found = cursor;
    if (found && found.nodeName !== wanted.nodeName) found = null;
    if (!found) {
      now.insertBefore(wanted, cursor);
      continue;
    }
    if (found === cursor) cursor = cursor.nextSibling;
    else now.insertBefore(found, cursor);
    morph(found, wanted);
  }
  while (cursor) {
    const after = cursor.nextSibling;
    cursor.remove();
    cursor = after;
  }
}

function morph(now, next) {
  if (now.nodeType === Node.TEXT_NODE) {
    if (now.nodeValue !== next.nodeValue) now.nodeValue = next.nodeValue;
    return;
  }
  for (const { name } of [...now.attributes]) {
    // What somebody has unfolded stays unfolded.
    const kept = name === "style" || (name === "open" && now.nodeName === "DETAILS");
    if (!kept && !next.hasAttribute(name)) now.removeAttribute(name);
  }
  for (const { name, value } of [...next.attributes]) {
    if (name !== "style" && now.getAttribute(name) !== value) now.setAttribute(name, value);
  }
  if (now.style && now.style.cssText !== next.style.cssText) now.style.cssText = next.style.cssText;
  children(now, next);
}

// Numbers, short and of even width.

export function percent(share) {
  if (share <= 0) return "0 %";
  if (share >= 1) return "100 %";
  const whole = Math.min(99, Math.round(share * 100));
  return whole < 1 ? "<1 %" : `${whole} %`;
}

export function rate(number) {
  if (number === undefined || number === null) return "–";
  if (number >= 10000) return `${Math.round(number / 1000)}k`;
  if (number >= 1000) return `${(number / 1000).toFixed(1)}k`;
  if (number >= 10 || number === 0) return String(Math.round(number));
  return number.toFixed(1);
}

export function millis(number) {
  if (number === undefined || number === null || number <= 0) return "–";
  if (number >= 1000) return `${(number / 1000).toFixed(1)} s`;
  return number >= 10 ? `${Math.round(number)} ms` : `${number.toFixed(1)} ms`;
}

export function span(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 120) return `${whole} s`;
  if (whole < 7200) return `${Math.round(whole / 60)} min`;
  if (whole < 172800) return `${Math.round(whole / 3600)} h`;
  return `${Math.round(whole / 86400)} d`;
}

// UTC, as in the log.
export function clock(unix, seconds = true) {
  return new Date(unix * 1000).toISOString().slice(11, seconds ? 19 : 16);
}

// A moment as an element: UTC to read, the whole of it and local time to point at.
export function moment(unix) {
  const date = new Date(unix * 1000);
  const title = `${date.toISOString().slice(0, 19)} UTC, ${date.toLocaleTimeString()} here`;
  return h("time", { datetime: date.toISOString(), title }, clock(unix));
}
