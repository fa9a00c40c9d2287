// Compiles src/*.sol and writes artifacts/<Name>.json, the same bytes on every machine.
//
//   npm ci && npm run build            writes contracts/artifacts
//   node build.mjs --out FOLDER        writes elsewhere (the tests compare the two)
//   node build.mjs --src FOLDER --out FOLDER      compiles other sources (scripts/contracts)
//
// Each source file is compiled by itself with the files it imports, so that a change of one
// contract leaves the artifacts of the others alone. Settings are pinned: a newer default EVM
// version, or a metadata hash that depends on file names, would change the code on chain.

import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, posix } from "node:path";
import { fileURLToPath } from "node:url";
import solc from "solc";

const HERE = dirname(fileURLToPath(import.meta.url));
const SOURCES = option("--src", join(HERE, "src"));
const SOLC = "0.8.37";
const SETTINGS = {
  evmVersion: "prague",
  metadata: { appendCBOR: false, bytecodeHash: "none" },
  optimizer: { enabled: true, runs: 200 },
  outputSelection: {
    "*": { "*": ["abi", "evm.bytecode", "evm.deployedBytecode", "storageLayout"] },
  },
  viaIR: false,
};

function option(name, other) {
  const place = process.argv.indexOf(name);
  return place < 0 ? other : process.argv[place + 1];
}

function sorted(value) {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.keys(value).sort().map((key) => [key, sorted(value[key])]));
}

function withImports(name, found = new Map()) {
  if (found.has(name)) return found;
  const content = readFileSync(join(SOURCES, name), "utf8");
  found.set(name, { content });
  for (const [, path] of content.matchAll(/^\s*import\s[^;]*?["']([^"']+)["']\s*;/gm)) {
    withImports(posix.normalize(posix.join(posix.dirname(name), path)), found);
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

function compile(name) {
  const sources = Object.fromEntries(withImports(name));
  const input = JSON.stringify(sorted({ language: "Solidity", settings: SETTINGS, sources }));
  const output = JSON.parse(solc.compile(input));
  const messages = output.errors ?? [];
  if (messages.length) throw new Error(messages.map((each) => each.formattedMessage).join("\n"));
  const contract = name.replace(/\.sol$/, "");
  const made = output.contracts[name][contract];
  return {
    contractName: contract,
    abi: made.abi,
    bytecode: `0x${made.evm.bytecode.object}`,
    deployedBytecode: `0x${made.evm.deployedBytecode.object}`,
    storageLayout: plainLayout(made.storageLayout),
    compiler: {
      solc: SOLC,
      evmVersion: SETTINGS.evmVersion,
      optimizerRuns: SETTINGS.optimizer.runs,
      viaIR: SETTINGS.viaIR,
    },
    inputSha256: createHash("sha256").update(input).digest("hex"),
  };
}

function main() {
  const out = option("--out", join(HERE, "artifacts"));
  if (!solc.version().startsWith(`${SOLC}+`)) {
    throw new Error(`solc ${SOLC} is needed, found ${solc.version()}: run npm ci`);
  }
  mkdirSync(out, { recursive: true });
  const names = readdirSync(SOURCES).filter((name) => name.endsWith(".sol")).sort();
  const wanted = new Set(names.map((name) => name.replace(/\.sol$/, ".json")));
  for (const name of readdirSync(out).filter((each) => each.endsWith(".json"))) {
    if (!wanted.has(name) && existsSync(join(out, name))) rmSync(join(out, name));
  }
  for (const name of names) {
    const artifact = compile(name);
    const target = join(out, `${artifact.contractName}.json`);
    writeFileSync(target, `${JSON.stringify(sorted(artifact), null, 1)}\n`);
    const size = (artifact.deployedBytecode.length - 2) / 2;
    console.log(`${artifact.contractName.padEnd(24)} ${size} bytes on chain`);
  }
}

main();
