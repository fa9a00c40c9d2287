// One block: its header, its transactions, and who signed it.

import { call, optional } from "./rpc.js";
import { ago, coins, gwei, grouped, number, percent, time } from "./format.js";
import { facts, h, mono, sheet, table, toAddress, toBlock, toTransaction } from "./dom.js";

export async function blockView(chain, which) {
  const block = which.startsWith("0x")
    ? await call("eth_getBlockByHash", which, true)
    : await call("eth_getBlockByNumber", `0x${BigInt(which).toString(16)}`, true);
  if (!block) throw new Error("This chain has no such block yet.");
  const names = chain.signatures.contracts;
  const certificate = await optional(null, "qenex_getCertificate", block.number);
  const height = number(block.number);
  const element = h("div", { id: "block" },
    h("h1", {}, `Block ${grouped(block.number)}`),
    sheet(null, facts([
      ["Hash", mono(block.hash)],
      ["Parent", height > 0 ? h("a", { href: `#/block/${height - 1}`, class: "mono" },
        block.parentHash) : mono(block.parentHash)],
      ["Time", `${time(block.timestamp)} (${ago(block.timestamp)})`],
      ["Proposer's address", toAddress(block.miner, names, true)],
      ["Gas used", `${grouped(block.gasUsed)} of ${grouped(block.gasLimit)} `
        + `(${percent(block.gasUsed, block.gasLimit)})`],
      ["Base fee", block.baseFeePerGas ? gwei(block.baseFeePerGas) : null],
      ["Size", `${grouped(block.size)} bytes`],
      ["State root", mono(block.stateRoot)],
      ["Transactions root", mono(block.transactionsRoot)],
      ["Receipts root", mono(block.receiptsRoot)],
      ["Next validators' hash", mono(block.extraData)],
      ["Final", certificate ? finality(certificate) : "genesis, or no certificate here"],
    ])),
    sheet(`Transactions (${block.transactions.length})`, table(
      ["Hash", "From", "To", "Value", "*Gas limit"],
      block.transactions.map((tx) => [
        toTransaction(tx.hash), toAddress(tx.from, names), toAddress(tx.to, names),
        coins(tx.value), grouped(tx.gas),
      ]),
      "This block is empty.",
    )),
    h("p", { class: "pager" },
      height > 0 ? h("a", { href: `#/block/${height - 1}` }, "← earlier") : null,
      h("a", { href: `#/block/${height + 1}` }, "later →")));
  return { element };
}

function finality(certificate) {
  const signers = certificate.signatures.map((each) => each.validator ?? each.address ?? each);
  return h("span", {},
    h("span", { class: "good" }, `decided in round ${number(certificate.round)} by `
      + `${signers.length} signatures: `),
    signers.map((signer, at) => [at ? ", " : "", toAddress(signer)]));
}
