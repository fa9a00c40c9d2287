// Compiles src/**.sol and writes artifacts/<Name>.json, the same bytes on every machine.
//
//   npm ci && npm run build            writes contracts/artifacts
//   node build.mjs --out FOLDER        writes elsewhere (the tests compare the two)
//   node build.mjs --src FOLDER --out FOLDER      compiles other sources (scripts/contracts)
//   node build.mjs --only NAME[,NAME]  compiles these alone, and keeps the other artifacts
//
// A file src/<folder>/<Name>.sol with a line `contract <Name>` has an artifact; interfaces,
// libraries and abstract contracts have none. Names are unique in all folders.
//
// Each contract is compiled by itself with the files it imports, so that a change of one leaves
// the artifacts of the others alone. Settings are pinned in settings.json: a newer default EVM
// version, or a metadata hash that depends on file names, would change the code on chain.
//
// Imports: "./x.sol" beside the file, "src/x.sol" in contracts/src, "@scope/..." and "package/..."
// in node_modules. Every file, ours or not, must name a licence of LICENCES in its first comment:
// anything else (GPL, BUSL, none) stops the build. inputs/libraries.json keeps the text of each
// imported file, so that `contracts.standard_input` needs no node_modules.

import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { basename, dirname, join, posix, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { Worker, isMainThread, parentPort } from "node:worker_threads";
import solc from "solc";

const HERE = dirname(fileURLToPath(import.meta.url));
const OURS = join(HERE, "src");
const SOURCES = resolve(option("--src", OURS));
const OUT = resolve(option("--out", join(HERE, "artifacts")));
const PACKAGES = join(HERE, "node_modules");
const SOLC = "0.8.37";
const SETTINGS = JSON.parse(readFileSync(join(HERE, "settings.json"), "utf8"));
const WANTED = ["abi", "evm.bytecode.object", "evm.deployedBytecode.object", "storageLayout"];
const LICENCES = ["0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "MIT"];
const CODE_BYTES_MAX = 24_576;
const WORKERS_MAX = 4;

function option(name, other) {
  const place = process.argv.indexOf(name);
  return place < 0 ? other : process.argv[place + 1];
}

function sorted(value) {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.keys(value).sort().map((key) => [key, sorted(value[key])]));
}

function fileOf(name) {
  if (name.startsWith("src/")) return join(OURS, name.slice("src/".length));
  const place = join(PACKAGES, name);
  return existsSync(place) ? place : join(SOURCES, name);
}

// One expression of SPDX: every part joined by AND, one part joined by OR, must be allowed.
export function isFree(expression) {
  const parts = expression.replace(/[()]/g, " ").trim();
  return parts
    .split(/\s+OR\s+/)
    .some((each) => each.split(/\s+AND\s+/).every((one) => LICENCES.includes(one.trim())));
}

function checkLicence(name, content) {
  const found = content.match(/SPDX-License-Identifier:\s*([^\r\n*]+)/)?.[1].trim() ?? "none";
  if (isFree(found)) return;
  throw new Error(`${name}: licence ${found} is not one of ${LICENCES.join(", ")}`);
}

function withImports(name, found = new Map()) {
  if (found.has(name)) return found;
  const content = readFileSync(fileOf(name), "utf8");
  checkLicence(name, content);
  found.set(name, { content });
  for (const [, path] of content.matchAll(/^\s*import\s[^;"']*?["']([^"']+)["']/gm)) {
    const near = posix.normalize(posix.join(posix.dirname(name), path));
    withImports(path.startsWith(".") ? near : path, found);
  }
  return found;
}

// Node ids of the syntax tree differ with what else is compiled; drop them from the layout.
function plainLayout(layout) {
  const text = JSON.stringify(layout, (key, value) =>
    key === "astId" || key === "contract" ? undefined : value,
  );
  return JSON.parse(text.replace(/(t_[a-z]+\([A-Za-z0-9_]+\))\d+_/g, "$1_"));
}

// Errors always; warnings where we can act on them.
function concernsUs(message) {
  const file = message.sourceLocation?.file ?? "";
  return message.severity === "error" || !existsSync(join(PACKAGES, file)) || file === "";
}

function compile(name) {
  const contract = basename(name, ".sol");
  const own = SETTINGS.contracts[contract] ?? {};
  const settings = { ...SETTINGS.default, ...own };
  const selection = { outputSelection: { [name]: { [contract]: WANTED } } };
  const sources = Object.fromEntries(withImports(name));
  const request = { language: "Solidity", settings: { ...settings, ...selection }, sources };
  const input = JSON.stringify(sorted(request));
  const output = JSON.parse(solc.compile(input));
  const messages = (output.errors ?? []).filter(concernsUs);
  if (messages.length) throw new Error(messages.map((each) => each.formattedMessage).join("\n"));
  const made = output.contracts[name][contract];
  const [bytecode, deployed] = [made.evm.bytecode.object, made.evm.deployedBytecode.object];
  if (!/^[0-9a-f]+$/.test(bytecode)) throw new Error(`${name}: calls a library to be linked`);
  return {
    contractName: contract,
    source: name,
    sources: Object.keys(sources).sort(),
    abi: made.abi,
    bytecode: `0x${bytecode}`,
    deployedBytecode: `0x${deployed}`,
    storageLayout: plainLayout(made.storageLayout),
    compiler: {
      solc: SOLC,
      evmVersion: settings.evmVersion,
      optimizerRuns: settings.optimizer.runs,
      viaIR: settings.viaIR,
    },
    inputSha256: createHash("sha256").update(input).digest("hex"),
  };
}

function contractsOf(folder) {
  const files = readdirSync(folder, { recursive: true }).map((each) => each.replace(/\\/g, "/"));
  return files
    .filter((each) => each.endsWith(".sol") && !each.includes("node_modules/"))
    .filter((each) => {
      const line = new RegExp(`^contract ${basename(each, ".sol")}\\b`, "m");
      return line.test(readFileSync(join(folder, each), "utf8"));
    })
    .sort();
}

function checkNames(names) {
  const seen = new Map();
  for (const name of names) {
    const contract = basename(name, ".sol");
    if (seen.has(contract)) throw new Error(`${name} and ${seen.get(contract)} share a name`);
    seen.set(contract, name);
  }
  for (const name of Object.keys(SETTINGS.contracts)) {
    if (SOURCES === OURS && !seen.has(name)) throw new Error(`settings.json: no contract ${name}`);
  }
}

function write(artifact) {
  const target = join(OUT, `${artifact.contractName}.json`);
  writeFileSync(target, `${JSON.stringify(sorted(artifact), null, 1)}\n`);
  const size = (artifact.deployedBytecode.length - 2) / 2;
  console.log(`${artifact.contractName.padEnd(28)} ${size} bytes on chain`);
  if (size > CODE_BYTES_MAX) throw new Error(`${artifact.contractName}: above ${CODE_BYTES_MAX}`);
}

function writeLibraries(names) {
  const found = new Map();
  for (const name of names) withImports(name, found);
  const foreign = [...found].filter(([name]) => existsSync(join(PACKAGES, name)));
  mkdirSync(join(OUT, "inputs"), { recursive: true });
  const texts = Object.fromEntries(foreign.map(([name, { content }]) => [name, content]));
  writeFileSync(
    join(OUT, "inputs", "libraries.json"),
    `${JSON.stringify(sorted(texts), null, 1)}\n`,
  );
}

// Hands the names to workers one by one; the first failure stops all of them.
async function compileAll(names) {
  const waiting = [...names];
  const workers = Array.from({ length: Math.min(WORKERS_MAX, availableParallelism()) }, () =>
    new Worker(fileURLToPath(import.meta.url), { argv: process.argv.slice(2) }),
  );
  const run = (worker) =>
    new Promise((done, failed) => {
      const next = () => (waiting.length ? worker.postMessage(waiting.shift()) : done());
      worker.on("error", failed);
      worker.on("message", (artifact) => {
        try {
          write(artifact);
          next();
        } catch (error) {
          failed(error);
        }
      });
      next();
    });
  try {
    await Promise.all(workers.map(run));
  } finally {
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
}

async function main() {
  if (!solc.version().startsWith(`${SOLC}+`)) {
    throw new Error(`solc ${SOLC} is needed, found ${solc.version()}: run npm ci`);
  }
  const names = contractsOf(SOURCES);
  checkNames(names);
  for (const name of names) withImports(name);
  const only = option("--only", null)?.split(",");
  mkdirSync(OUT, { recursive: true });
  const wanted = new Set(names.map((name) => `${basename(name, ".sol")}.json`));
  for (const name of readdirSync(OUT).filter((each) => each.endsWith(".json"))) {
    if (!wanted.has(name)) rmSync(join(OUT, name));
  }
  if (SOURCES === OURS) writeLibraries(names);
  await compileAll(names.filter((each) => !only || only.includes(basename(each, ".sol"))));
}

if (isMainThread) {
  main().catch((error) => {
    console.error(error.message);
    process.exitCode = 1;
  });
} else {
  parentPort.on("message", (name) => parentPort.postMessage(compile(name)));
}
