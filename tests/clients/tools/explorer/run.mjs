// Opens pages of a node's explorer in headless Chromium and prints what they show:
// node run.mjs RPC_URL < {"pages": [{"path", "selectors", "width", "picture"}], "search": text}
// `picture` is where a screenshot goes.

import { readFileSync } from "node:fs";
import bundled from "@sparticuz/chromium";
import { chromium } from "playwright-core";

const TIMEOUT_MS = 30_000;
const HEIGHT = 900;
const node = process.argv[2];
const { pages, search } = JSON.parse(readFileSync(0, "utf8"));
const errors = [];
// One process for everything dies with its first page; without web security nothing is shown of it.
const UNWANTED = new Set(["--single-process", "--disable-web-security"]);
const browser = await chromium.launch({
  executablePath: await bundled.executablePath(),
  args: bundled.args.filter((each) => !UNWANTED.has(each)),
  headless: true,
});

async function open(path, width, colorScheme) {
  const page = await browser.newPage({ viewport: { width, height: HEIGHT }, colorScheme });
  page.on("pageerror", (error) => errors.push(error.message));
  page.on("console", (line) => line.type() === "error" && errors.push(line.text()));
  await page.goto(`${node}/explorer#/${path}`);
  return page;
}

async function look({ path, selectors, width = 1200, colorScheme = "light", picture }) {
  const page = await open(path, width, colorScheme);
  const shown = {};
  for (const selector of selectors) {
    const found = page.locator(selector).first();
    await found.waitFor({ timeout: TIMEOUT_MS });
    shown[selector] = await found.innerText();
  }
  const facts = await page.evaluate(() => ({
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    ground: getComputedStyle(document.body).backgroundColor,
    scripts: performance.getEntriesByType("resource").map((each) => new URL(each.name).origin),
  }));
  if (picture) await page.screenshot({ path: picture });
  await page.close();
  return { shown, ...facts };
}

async function find(text) {
  const page = await open("", 1200, "light");
  await page.locator("#home").waitFor({ timeout: TIMEOUT_MS });
  await page.fill("#query", "not a thing");
  await page.press("#query", "Enter");
  const notice = page.locator("#notice:not([hidden])");
  await notice.waitFor({ timeout: TIMEOUT_MS });
  const refusal = await notice.innerText();
  await page.fill("#query", text);
  await page.press("#query", "Enter");
  await page.locator("#transaction").waitFor({ timeout: TIMEOUT_MS });
  const before = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  await page.click("#theme");
  const after = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const hash = await page.evaluate(() => location.hash);
  await page.close();
  return { refusal, hash, before, after };
}

try {
  const views = [];
  for (const each of pages) views.push(await look(each));
  const searched = search ? await find(search) : null;
  console.log(JSON.stringify({ views, searched, errors }));
} finally {
  await browser.close();
}
