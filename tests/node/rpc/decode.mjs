// Decodes each case of standard input with the explorer's own decoder; prints JSON lines.
import { readFileSync } from "node:fs";
import { decodeValues } from "../../../node/explorer/abi.js";

const plain = (each) => (
  each === null ? null : each.map(({ value }) => (
    Array.isArray(value) ? plain(value) : typeof value === "bigint" ? value.toString() : value
  ))
);

for (const line of readFileSync(0, "utf8").split("\n").filter(Boolean)) {
  const { parameters, data } = JSON.parse(line);
  console.log(JSON.stringify(plain(decodeValues(parameters, data))));
}
