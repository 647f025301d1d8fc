// A browser that does what it is told: one JSON command a line in, one JSON answer a line out.
//
// It judges nothing; tests/e2e/page/*.rs do. What a page must never do is kept and told at the end:
// requests to other hosts, errors on the console, exceptions.

import { chromium } from "playwright-core";
import { createInterface } from "node:readline";

const [binary, profile] = process.argv.slice(2);
const quiet = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"];
// As root Chromium does not start with its sandbox.
const alone = process.getuid() === 0 ? ["--no-sandbox"] : [];
const context = await chromium.launchPersistentContext(profile, {
  executablePath: binary,
  headless: true,
  args: [...quiet, ...alone],
  viewport: { width: 1280, height: 900 },
});
const page = context.pages()[0] ?? (await context.newPage());
page.setDefaultTimeout(15000);

const seen = { requests: [], console: [], errors: [] };
page.on("request", (request) => seen.requests.push(request.url()));
page.on("console", (message) => {
  if (["error", "warning"].includes(message.type())) seen.console.push(message.text());
});
page.on("pageerror", (error) => seen.errors.push(error.message));

const commands = {
  open: ({ url }) => page.goto(url),
  // Waits until what `selector` finds has a text that fits `pattern`, and gives it.
  read: async ({ selector, pattern, within }) => {
    const wanted = new RegExp(pattern, "s");
    const end = Date.now() + within;
    let last = null;
    for (;;) {
      const found = await page.locator(selector).all();
      last = await Promise.all(found.map((one) => one.innerText().catch(() => "")));
      const fits = last.find((text) => wanted.test(text));
      if (fits !== undefined) return fits;
      if (Date.now() > end) throw new Error(`${selector} never said /${pattern}/, but ${JSON.stringify(last).slice(0, 600)}`);
      await page.waitForTimeout(50);
    }
  },
  click: ({ selector }) => page.locator(selector).first().click(),
  fill: ({ selector, text }) => page.locator(selector).fill(text),
  press: ({ keys }) => page.keyboard.press(keys),
  type: ({ text }) => page.keyboard.type(text),
  ask: ({ script }) => page.evaluate(script),
  size: ({ width, height }) => page.setViewportSize({ width, height }),
  scheme: ({ scheme }) => page.emulateMedia({ colorScheme: scheme }),
  shot: ({ path, whole }) => page.screenshot({ path, fullPage: whole, animations: "disabled" }),
  seen: () => seen,
};

const answer = (told) => process.stdout.write(`${JSON.stringify(told)}\n`);

answer({ ok: "ready" });
for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  try {
    const ok = await commands[command.do](command);
    answer({ ok: ["read", "ask", "seen"].includes(command.do) ? (ok ?? null) : null });
  } catch (error) {
    answer({ error: String(error.message ?? error) });
  }
}
await context.close();
