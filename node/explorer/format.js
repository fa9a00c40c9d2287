// How values are shown. Quantities stay BigInt: balances do not fit into a double.

export const HASH = /^0x[0-9a-fA-F]{64}$/;
export const ADDRESS = /^0x[0-9a-fA-F]{40}$/;
const DECIMALS = 18n;

export const number = (quantity) => Number(BigInt(quantity));
export const grouped = (value) => BigInt(value).toLocaleString("en-US");

// 1500000000000000000 -> "1.5"
export function coins(wei) {
  const value = BigInt(wei);
  const sign = value < 0n ? "-" : "";
  const digits = (value < 0n ? -value : value).toString().padStart(Number(DECIMALS) + 1, "0");
  const whole = digits.slice(0, -Number(DECIMALS));
  const rest = digits.slice(-Number(DECIMALS)).replace(/0+$/, "");
  return `${sign}${BigInt(whole).toLocaleString("en-US")}${rest ? `.${rest}` : ""} QXC`;
}

export function gwei(wei) {
  const value = BigInt(wei);
  const rest = (value % 1_000_000_000n).toString().padStart(9, "0").replace(/0+$/, "");
  return `${(value / 1_000_000_000n).toLocaleString("en-US")}${rest ? `.${rest}` : ""} gwei`;
}

export const short = (hex, head = 10, tail = 6) => (
  hex.length > head + tail + 2 ? `${hex.slice(0, head)}…${hex.slice(-tail)}` : hex
);

export function time(seconds) {
  const date = new Date(number(seconds) * 1000);
  return `${date.toISOString().replace("T", " ").replace(".000Z", "")} UTC`;
}

export function ago(seconds) {
  const past = Math.max(0, Math.round(Date.now() / 1000) - number(seconds));
  if (past < 60) return `${past} s ago`;
  if (past < 3600) return `${Math.floor(past / 60)} min ago`;
  if (past < 86_400) return `${Math.floor(past / 3600)} h ago`;
  return `${Math.floor(past / 86_400)} days ago`;
}

export const byteLength = (hex) => (hex.length - 2) / 2;
export const percent = (part, whole) => (
  BigInt(whole) === 0n ? "0 %" : `${(Number(BigInt(part) * 1000n / BigInt(whole)) / 10)} %`
);
