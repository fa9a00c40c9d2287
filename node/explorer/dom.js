// Elements by function. Text from the chain only ever becomes text nodes, never markup.

import { short } from "./format.js";

export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat(9).filter((child) => child !== null && child !== undefined));
  return element;
}

export const sheet = (title, ...children) => (
  h("section", { class: "sheet" }, title ? h("h2", {}, title) : null, ...children)
);

export const tile = (name, value, id) => (
  h("div", { class: "tile" }, h("b", { id }, value), h("span", {}, name))
);

// Rows of [name, value]; a row whose value is null is left out.
export const facts = (rows) => h("dl", {}, rows.filter(([, value]) => value !== null).map(
  ([name, value]) => [h("dt", {}, name), h("dd", {}, value)],
));

export function table(titles, rows, empty = "Nothing here yet.") {
  if (rows.length === 0) return h("p", { class: "faint" }, empty);
  const [shown, wide] = [(title) => title.replace("*", ""), (title) => title.startsWith("*")];
  const kind = titles.map((title) => (wide(title) ? { class: "wide" } : {}));
  return h("table", {},
    h("thead", {}, h("tr", {}, titles.map((title, at) => h("th", kind[at], shown(title))))),
    h("tbody", {}, rows.map((row) => h("tr", {}, row.map((cell, at) => h("td", kind[at], cell))))));
}

export const mono = (text) => h("span", { class: "mono" }, text);

const link = (href, text, title) => h("a", { href, title, class: "mono" }, text);

export const toBlock = (height) => link(`#/block/${BigInt(height)}`, BigInt(height).toString());
export const toTransaction = (hash, full) => (
  link(`#/tx/${hash}`, full ? hash : short(hash), hash)
);

export function toAddress(address, names, full) {
  if (!address) return h("span", { class: "faint" }, "contract creation");
  const name = names?.[address.toLowerCase()];
  return link(`#/address/${address}`, name ?? (full ? address : short(address)), address);
}
