// One account: balance, nonce, code, delegation, and the transactions that touched it.

import { batch, optional } from "./rpc.js";
import { ago, byteLength, coins, grouped, number } from "./format.js";
import { facts, h, mono, sheet, table, toAddress, toBlock, toTransaction } from "./dom.js";

const PAGE = 25;
const DELEGATION = "0xef0100";

export async function addressView(chain, address) {
  const [balance, nonce, code] = (await batch([
    ["eth_getBalance", address, "latest"],
    ["eth_getTransactionCount", address, "latest"],
    ["eth_getCode", address, "latest"],
  ])).map((answer) => {
    if (answer.error) throw new Error(answer.error.message);
    return answer.result;
  });
  const names = chain.signatures.contracts;
  const isDelegated = code.startsWith(DELEGATION) && byteLength(code) === 23;
  const creator = code === "0x" || isDelegated ? null
    : await optional(null, "ots_getContractCreator", address);
  const history = await optional(null, "ots_searchTransactionsBefore", address, 0, PAGE);
  const element = h("div", { id: "address" },
    h("h1", {}, names[address.toLowerCase()] ?? (code === "0x" ? "Account" : "Contract")),
    sheet(null, facts([
      ["Address", mono(address)],
      ["Balance", h("span", { id: "balance" }, coins(balance))],
      ["Nonce", grouped(nonce)],
      ["Delegated to", isDelegated ? toAddress(`0x${code.slice(8)}`, names, true) : null],
      ["Code", code === "0x" ? "none" : `${grouped(byteLength(code))} bytes`],
      ["Created by", creator ? h("span", {}, toAddress(creator.creator, names), " in ",
        toTransaction(creator.hash)) : null],
    ])),
    transactions(history, names),
    code === "0x" ? null : sheet("Code", h("pre", { id: "code" }, code)));
  return { element };
}

function transactions(history, names) {
  if (history === null) {
    return sheet("Transactions", h("p", { class: "faint" },
      "This node does not offer the history of accounts (ots methods)."));
  }
  const receipts = new Map(history.receipts.map((each) => [each.transactionHash, each]));
  return sheet("Transactions", table(
    ["Hash", "*Age", "From", "To", "Value", "Block"],
    history.txs.map((tx) => {
      const receipt = receipts.get(tx.hash);
      const failed = receipt && number(receipt.status ?? "0x1") === 0;
      return [
        failed ? h("span", {}, toTransaction(tx.hash), h("span", { class: "bad" }, " failed"))
          : toTransaction(tx.hash),
        receipt?.timestamp === undefined ? "" : ago(receipt.timestamp),
        toAddress(tx.from, names), toAddress(tx.to, names), coins(tx.value),
        toBlock(tx.blockNumber),
      ];
    }),
    "No transaction touched this account.",
  ), history.lastPage ? null : h("p", { class: "faint" }, `The newest ${history.txs.length}.`));
}
