// Serves the page, opens it in headless Chromium and prints what it found: node run.mjs RPC_URL

import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import bundled from "@sparticuz/chromium";
import { chromium } from "playwright-core";

const TIMEOUT_MS = 60_000;
const ethers = createRequire(import.meta.url).resolve("ethers").replace(/lib\.commonjs.*/, "dist/ethers.min.js");
const types = { html: "text/html", js: "text/javascript" };
const server = createServer((request, response) => {
  const name = new URL(request.url, "http://page").pathname.slice(1);
  const path = name === "ethers.js" ? ethers : new URL(name, import.meta.url);
  if (!/^(page\.html|wallet\.js|dapp\.js|ethers\.js)$/.test(name)) return response.writeHead(404).end();
  response.writeHead(200, { "content-type": types[name.split(".")[1]] }).end(readFileSync(path));
});
await new Promise((done) => server.listen(0, "127.0.0.1", done));
const origin = `http://127.0.0.1:${server.address().port}`;
const browser = await chromium.launch({
  executablePath: await bundled.executablePath(),
  args: bundled.args,
  headless: true,
});
try {
  const page = await browser.newPage();
  const errors = [];
  page.on("pageerror", (error) => errors.push(error.message));
  await page.goto(`${origin}/page.html?rpc=${encodeURIComponent(process.argv[2])}`);
  const facts = page.locator("#facts:not(:empty)");
  await facts.waitFor({ state: "attached", timeout: TIMEOUT_MS });
  console.log(JSON.stringify({ ...JSON.parse(await facts.textContent()), errors }));
} finally {
  await browser.close();
  server.close();
}
