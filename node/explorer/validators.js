// The validators, and consensus on the next block as this node sees it now.

import { call, optional } from "./rpc.js";
import { grouped, number, percent } from "./format.js";
import { facts, h, mono, sheet, table, toAddress } from "./dom.js";

export async function validatorsView() {
  const set = await call("qenex_validators");
  const state = await optional(null, "qenex_consensusState");
  const total = set.totalPower;
  const element = h("div", { id: "validators" },
    h("h1", {}, `Validators of height ${grouped(set.height)}`),
    sheet(null, table(
      ["Address", "Power", "*Share"],
      set.validators.map((each) => [
        toAddress(each.address, null, true), grouped(each.power), percent(each.power, total),
      ]),
    )),
    sheet(null, facts([
      ["Power of all", grouped(total)],
      ["Quorum", `${grouped(set.quorumPower)} or more`],
      ["Hash of the set", mono(set.hash)],
    ])),
    state ? sheet("Consensus now", consensus(state)) : null);
  return { element, live: true };
}

function consensus(state) {
  return h("div", { id: "consensus" }, facts(Object.entries(state).map(
    ([name, value]) => [name, shown(value)],
  )));
}

function shown(value) {
  if (value === null) return h("span", { class: "faint" }, "none");
  if (Array.isArray(value)) {
    return value.length === 0 ? h("span", { class: "faint" }, "none")
      : value.map((each) => h("div", {}, shown(each)));
  }
  if (typeof value === "object") {
    return facts(Object.entries(value).map(([name, each]) => [name, shown(each)]));
  }
  const text = String(value);
  return mono(/^0x[0-9a-f]{1,15}$/i.test(text) ? String(number(text)) : text);
}
