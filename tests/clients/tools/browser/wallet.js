// A wallet in a page (EIP-1193), announced as extensions are (EIP-6963). It checks a network before it
// adds it, as MetaMask does: id, symbol, and that the RPC address answers with this chain id.

import { JsonRpcProvider, Wallet, getBytes } from "./ethers.js";

const KEY = "0x8b3a350cf5c34c9194ca85829a2df0ec3153be0318b5e2d3348e872092edffba";
const CHAIN_ID_MAX = 4503599627370476n;
const networks = new Map();
const listeners = new Map();
let chainId = null;
let connected = false;

function refuse(code, message) {
  throw Object.assign(new Error(message), { code });
}

function emit(name, value) {
  for (const each of listeners.get(name) ?? []) each(value);
}

async function addNetwork({ chainId: id, rpcUrls, nativeCurrency }) {
  if (BigInt(id) > CHAIN_ID_MAX) refuse(-32602, "chain id is too large");
  if (!/^.{2,6}$/.test(nativeCurrency.symbol)) refuse(-32602, "a symbol has 2 to 6 characters");
  const url = new URL(rpcUrls[0]);
  if (url.protocol !== "https:" && !["localhost", "127.0.0.1"].includes(url.hostname)) {
    refuse(-32602, "RPC addresses are https or local");
  }
  const provider = new JsonRpcProvider(rpcUrls[0], undefined, { cacheTimeout: -1, pollingInterval: 50 });
  const found = await provider.send("eth_chainId", []);
  if (found !== id) refuse(-32602, `the RPC address answers with chain id ${found}`);
  networks.set(id, provider);
}

function switchTo(id) {
  if (!networks.has(id)) refuse(4902, "unknown network: add it first");
  chainId = id;
  emit("chainChanged", id);
}

function signer() {
  if (!connected) refuse(4100, "not connected");
  if (chainId === null) refuse(4901, "no network");
  return new Wallet(KEY, networks.get(chainId));
}

async function request({ method, params = [] }) {
  switch (method) {
    case "eth_requestAccounts":
      connected = true;
      return [new Wallet(KEY).address];
    case "eth_accounts":
      return connected ? [new Wallet(KEY).address] : [];
    case "wallet_addEthereumChain":
      await addNetwork(params[0]);
      return null;
    case "wallet_switchEthereumChain":
      switchTo(params[0].chainId);
      return null;
    case "eth_sendTransaction": {
      const { from: _from, gas, ...rest } = params[0];
      return (await signer().sendTransaction({ ...rest, gasLimit: gas })).hash;
    }
    case "personal_sign":
      return signer().signMessage(getBytes(params[0]));
    case "eth_signTypedData_v4": {
      const { domain, types, message } = JSON.parse(params[1]);
      const { EIP712Domain: _domain, ...rest } = types;
      return signer().signTypedData(domain, rest, message);
    }
    default:
      return (networks.get(chainId) ?? refuse(4901, "no network")).send(method, params);
  }
}

const provider = {
  request,
  on: (name, each) => listeners.set(name, [...(listeners.get(name) ?? []), each]),
  removeListener: () => undefined,
};
const info = { uuid: crypto.randomUUID(), name: "Page wallet", icon: "data:,", rdns: "page.wallet" };
const announce = () =>
  dispatchEvent(new CustomEvent("eip6963:announceProvider", { detail: Object.freeze({ info, provider }) }));
addEventListener("eip6963:requestProvider", announce);
announce();
