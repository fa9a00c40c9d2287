// Decoded values as a list; tuples and arrays are lists in it.

import { grouped } from "./format.js";
import { facts, h, mono, toAddress } from "./dom.js";

export const valuesList = (chain, values) => facts(values.map((each, at) => [
  `${each.name || at} (${each.type})`, shown(chain, each),
]));

function shown(chain, { type, value }) {
  if (Array.isArray(value)) {
    return value.length === 0 ? h("span", { class: "faint" }, "empty") : valuesList(chain, value);
  }
  if (type === "address") return toAddress(value, chain.signatures.contracts, true);
  if (typeof value === "bigint") return mono(grouped(value));
  return type === "string" ? value : mono(String(value));
}
