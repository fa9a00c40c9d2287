// One transaction: what it asked for, what came of it, its logs and its calls.

import { batch, optional } from "./rpc.js";
import { byteLength, coins, grouped, gwei, number } from "./format.js";
import { facts, h, mono, sheet, toAddress, toBlock } from "./dom.js";
import { decodeCall, decodeError, decodeLog } from "./abi.js";
import { valuesList } from "./values.js";

const TYPES = ["legacy", "access list", "dynamic fee", "blob", "set code"];
const FRAMES_MAX = 300;

export async function transactionView(chain, hash) {
  const [found, receipt] = (await batch([
    ["eth_getTransactionByHash", hash], ["eth_getTransactionReceipt", hash],
  ])).map((answer) => answer.result);
  if (!found) throw new Error("This node knows no transaction with this hash.");
  const names = chain.signatures.contracts;
  const trace = receipt
    ? await optional(null, "debug_traceTransaction", hash, { tracer: "callTracer" }) : null;
  const element = h("div", { id: "transaction" },
    h("h1", {}, "Transaction"),
    sheet(null, facts([
      ["Hash", mono(found.hash)],
      ["Status", status(chain, receipt, trace)],
      ["Block", receipt ? toBlock(receipt.blockNumber) : "not in a block yet"],
      ["From", toAddress(found.from, names, true)],
      ["To", toAddress(found.to, names, true)],
      ["Created", receipt?.contractAddress
        ? toAddress(receipt.contractAddress, names, true) : null],
      ["Value", coins(found.value)],
      ["Fee paid", receipt
        ? coins(BigInt(receipt.gasUsed) * BigInt(receipt.effectiveGasPrice)) : null],
      ["Gas", receipt
        ? `${grouped(receipt.gasUsed)} used of ${grouped(found.gas)}` : grouped(found.gas)],
      ["Gas price", gwei(receipt?.effectiveGasPrice ?? found.gasPrice)],
      ["Type", `${number(found.type)} (${TYPES[number(found.type)] ?? "unknown"})`],
      ["Nonce", grouped(found.nonce)],
    ])),
    input(chain, found),
    logs(chain, receipt),
    trace ? sheet("Calls", frame(chain, trace, { left: FRAMES_MAX })) : null);
  return { element, live: !receipt };
}

function status(chain, receipt, trace) {
  if (!receipt) return h("span", { class: "faint" }, "waiting");
  if (number(receipt.status ?? "0x1") === 1) return h("span", { class: "good" }, "success");
  return h("span", { class: "bad" }, `failed${reason(chain, trace)}`);
}

function reason(chain, trace) {
  if (!trace) return "";
  if (trace.revertReason) return `: ${trace.revertReason}`;
  const error = decodeError(chain.signatures, trace.output);
  if (error) {
    return `: ${error.name}(${error.values.map((each) => String(each.value)).join(", ")})`;
  }
  return trace.error ? `: ${trace.error}` : "";
}

function input(chain, found) {
  if (found.input === "0x") return null;
  const decoded = found.to ? decodeCall(chain.signatures, found.input) : null;
  return sheet(`Input, ${byteLength(found.input)} bytes`,
    decoded ? h("div", { id: "decoded-call" },
      h("p", {}, h("code", {}, decoded.name)), valuesList(chain, decoded.values)) : null,
    h("pre", {}, found.input));
}

function logs(chain, receipt) {
  if (!receipt || receipt.logs.length === 0) return null;
  return sheet(`Logs (${receipt.logs.length})`, receipt.logs.map((log) => {
    const decoded = decodeLog(chain.signatures, log);
    return h("div", { class: "log" },
      h("p", {}, `${number(log.logIndex)}: `, decoded
        ? h("code", { class: "event" }, decoded.name)
        : h("span", { class: "faint" }, "unknown event"),
      " from ", toAddress(log.address, chain.signatures.contracts)),
      decoded ? valuesList(chain, decoded.values)
        : h("pre", {}, [...log.topics, log.data].join("\n")));
  }));
}

function frame(chain, call, budget) {
  budget.left -= 1;
  if (budget.left < 0) return h("p", { class: "faint" }, "More calls are not shown.");
  const decoded = call.input ? decodeCall(chain.signatures, call.input) : null;
  return h("div", { class: "frame" },
    h("div", {}, h("b", {}, call.type), " ", toAddress(call.to, chain.signatures.contracts), " ",
      decoded ? h("code", {}, decoded.name)
        : h("code", {}, call.input && call.input !== "0x" ? call.input.slice(0, 10) : ""),
      call.value && BigInt(call.value) > 0n ? ` with ${coins(call.value)}` : "",
      h("span", { class: "faint" }, `, ${grouped(call.gasUsed)} gas`),
      call.error ? h("span", { class: "bad" }, ` ${call.revertReason ?? call.error}`) : null),
    (call.calls ?? []).map((each) => frame(chain, each, budget)));
}
