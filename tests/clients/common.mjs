// What both client scripts share: their arguments, the artifact, and the one line they print.

import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";

export const MNEMONIC = "test test test test test test test test test test test junk";
export const SUPPLY = 1_000_000n * 10n ** 18n;
export const FIRST = 5_000n;
export const SECOND = 2_000n;
export const TIMEOUT_MS = 60_000;

export function options() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { artifact: { type: "string" }, ws: { type: "string" } },
  });
  if (!values.artifact || !values.ws || positionals.length === 0) {
    console.error("usage: node SCRIPT --artifact ERC20.json --ws WS_URL HTTP_URL [HTTP_URL ...]");
    process.exit(2);
  }
  const { abi, bytecode } = JSON.parse(readFileSync(values.artifact, "utf8"));
  return { abi, bytecode, ws: values.ws, urls: positionals };
}

export function check(condition, why) {
  if (!condition) throw new Error(why);
}

export async function until(question, what) {
  const end = Date.now() + TIMEOUT_MS;
  while (Date.now() < end) {
    const answer = await question();
    if (answer) return answer;
    await new Promise((done) => setTimeout(done, 100));
  }
  throw new Error(`timed out: ${what}`);
}

export function allEqual(values, what) {
  check(new Set(values).size === 1, `nodes differ in ${what}: ${values.join(", ")}`);
  return values[0];
}

export async function main(client, run) {
  const timer = setTimeout(() => finish(client, { error: "timed out" }, 1), 2 * TIMEOUT_MS);
  try {
    finish(client, await run(options()), 0);
  } catch (error) {
    finish(client, { error: error.shortMessage ?? error.message, detail: error.details }, 1);
  } finally {
    clearTimeout(timer);
  }
}

function finish(client, facts, code) {
  const line = JSON.stringify({ ok: code === 0, client, ...facts }, (_key, value) =>
    typeof value === "bigint" ? value.toString() : value,
  );
  process.stdout.write(`${line}\n`, () => process.exit(code));
}
