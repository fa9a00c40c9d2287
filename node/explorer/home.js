// The latest blocks, their transactions, and the chain's figures.

import { batch, optional } from "./rpc.js";
import { ago, coins, gwei, grouped, number, percent } from "./format.js";
import { h, sheet, table, tile, toAddress, toBlock, toTransaction } from "./dom.js";

const BLOCKS = 15;
const TRANSACTIONS = 15;

export async function homeView(chain, from) {
  const newest = from === undefined ? number(chain.head ?? "0x0")
    : Math.min(Number(from), number(chain.head ?? "0x0"));
  const heights = Array.from({ length: Math.min(BLOCKS, newest + 1) }, (_, at) => newest - at);
  const [peers, ...answers] = await batch([
    ["net_peerCount"],
    ...heights.map((height) => ["eth_getBlockByNumber", `0x${height.toString(16)}`, true]),
  ]);
  const blocks = answers.map((answer) => answer.result).filter((block) => block);
  const status = await optional({}, "txpool_status");
  const names = chain.signatures.contracts;
  const element = h("div", {},
    from === undefined ? tiles(blocks, peers.result, status) : h("h1", {}, "Blocks"),
    sheet("Latest blocks", table(
      ["Height", "Age", "Transactions", "Gas used", "*Proposer's address"],
      blocks.map((block) => [
        toBlock(block.number), ago(block.timestamp), String(block.transactions.length),
        `${grouped(block.gasUsed)} (${percent(block.gasUsed, block.gasLimit)})`,
        toAddress(block.miner, names),
      ]),
    ), pager(newest, blocks.length)),
    sheet("Latest transactions", table(
      ["Hash", "*From", "To", "Value", "Block"],
      blocks.flatMap((block) => block.transactions.slice().reverse()).slice(0, TRANSACTIONS)
        .map((tx) => [
          toTransaction(tx.hash), toAddress(tx.from, names), toAddress(tx.to, names),
          coins(tx.value), toBlock(tx.blockNumber),
        ]),
      "No transactions in these blocks.",
    )),
  );
  element.id = "home";
  return { element, live: from === undefined };
}

function tiles(blocks, peers, status) {
  const newest = blocks[0];
  const oldest = blocks.at(-1);
  const seconds = newest && number(newest.timestamp) - number(oldest.timestamp);
  const pace = seconds > 0 ? `${(seconds / (blocks.length - 1)).toFixed(2)} s` : "below 1 s";
  return h("section", { class: "sheet tiles" },
    tile("height", newest ? grouped(newest.number) : "–", "height"),
    tile("between blocks", blocks.length > 1 ? pace : "–"),
    tile("base fee", newest?.baseFeePerGas ? gwei(newest.baseFeePerGas) : "–"),
    tile("waiting transactions", status.pending ? grouped(status.pending) : "–"),
    tile("peers", peers ? grouped(peers) : "–"));
}

function pager(newest, count) {
  const oldest = newest - count + 1;
  return h("p", { class: "pager" },
    h("a", { href: `#/blocks/${newest + BLOCKS}` }, "← newer"),
    oldest > 0 ? h("a", { href: `#/blocks/${oldest - 1}` }, "older →") : null);
}
