// The router: one view for each hash path, drawn anew when the path or the head changes.

import { batch, call, optional } from "./rpc.js";
import { ADDRESS, HASH, grouped } from "./format.js";
import { h } from "./dom.js";
import { homeView } from "./home.js";
import { blockView } from "./block.js";
import { transactionView } from "./transaction.js";
import { addressView } from "./address.js";
import { validatorsView } from "./validators.js";

const POLL_MS = 1_000;
const view = document.getElementById("view");
const notice = document.getElementById("notice");

const ROUTES = [
  [/^$/, homeView, "Blocks"],
  [/^blocks\/(\d+)$/, homeView, "Blocks"],
  [/^block\/(\d+|0x[0-9a-fA-F]{64})$/, blockView, "Block"],
  [/^tx\/(0x[0-9a-fA-F]{64})$/, transactionView, "Transaction"],
  [/^address\/(0x[0-9a-fA-F]{40})$/, addressView, "Address"],
  [/^validators$/, validatorsView, "Validators"],
];

const chain = { head: null, signatures: { functions: {}, events: {}, errors: {}, contracts: {} } };
let shown = { path: null, live: false };
let drawing = 0;

function tell(words) {
  notice.hidden = words === null;
  notice.textContent = words ?? "";
}

// A view returns an element; `live` views are drawn again at each new head.
async function draw(path) {
  const mine = ++drawing;
  const route = ROUTES.find(([pattern]) => pattern.test(path));
  if (!route) {
    view.replaceChildren(h("h1", {}, "There is no such page"));
    return;
  }
  const [pattern, make, title] = route;
  if (shown.path !== path) view.replaceChildren(h("p", { class: "faint" }, "Loading…"));
  try {
    const { element, live = false } = await make(chain, ...pattern.exec(path).slice(1));
    if (mine !== drawing) return;
    view.replaceChildren(element);
    shown = { path, live };
    document.title = `${title} · QENEX Explorer`;
    tell(null);
  } catch (error) {
    if (mine !== drawing) return;
    shown = { path, live: false };
    view.replaceChildren(h("h1", {}, title), h("p", { class: "bad" }, String(error.message)));
  }
}

const path = () => location.hash.replace(/^#\/?/, "");

async function poll() {
  try {
    const head = await call("eth_blockNumber");
    const isNew = head !== chain.head;
    chain.head = head;
    tell(null);
    if (isNew && shown.live && shown.path === path()) await draw(path());
  } catch {
    tell("The node does not answer; trying again.");
  }
  setTimeout(poll, document.hidden ? 5 * POLL_MS : POLL_MS);
}

// A 32-byte hash may be a transaction's or a block's.
async function find(text) {
  const query = text.trim();
  if (/^\d+$/.test(query)) return `block/${query}`;
  if (ADDRESS.test(query)) return `address/${query}`;
  if (HASH.test(query)) {
    const [transaction, block] = await batch([
      ["eth_getTransactionByHash", query], ["eth_getBlockByHash", query, false],
    ]);
    if (transaction.result) return `tx/${query}`;
    if (block.result) return `block/${query}`;
    throw new Error("No transaction and no block of this chain has this hash.");
  }
  throw new Error("Search for a block height, a 32-byte hash or a 20-byte address.");
}

document.getElementById("search").addEventListener("submit", async (event) => {
  event.preventDefault();
  const field = document.getElementById("query");
  try {
    location.hash = `#/${await find(field.value)}`;
    field.value = "";
    tell(null);
  } catch (error) {
    tell(error.message);
  }
});

const THEME = "qenex-explorer-theme";
const saved = localStorage.getItem(THEME);
if (saved === "light" || saved === "dark") document.documentElement.dataset.theme = saved;
document.getElementById("theme").addEventListener("click", () => {
  const dark = getComputedStyle(document.documentElement).colorScheme === "dark";
  document.documentElement.dataset.theme = dark ? "light" : "dark";
  localStorage.setItem(THEME, document.documentElement.dataset.theme);
});

async function start() {
  const answer = await fetch("/explorer/signatures.json");
  if (answer.ok) chain.signatures = await answer.json();
  chain.id = await optional(null, "eth_chainId");
  chain.head = await optional(null, "eth_blockNumber");
  const version = await optional("", "web3_clientVersion");
  document.getElementById("node").textContent = chain.id
    ? `Chain ${grouped(chain.id)}, ${version}` : version;
  window.addEventListener("hashchange", () => draw(path()));
  await draw(path());
  setTimeout(poll, POLL_MS);
}

start().catch(() => tell("The node does not answer; load this page again."));
