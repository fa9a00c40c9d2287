// The page: finds the wallet, connects, adds the network that `?rpc=` names, signs and sends.

import { BrowserProvider, parseEther, verifyMessage, verifyTypedData } from "./ethers.js";

const RECEIVER = "0x000000000000000000000000000000000000c0de";

async function run() {
  const found = new Promise((done) =>
    addEventListener("eip6963:announceProvider", (event) => done(event.detail.provider)),
  );
  dispatchEvent(new Event("eip6963:requestProvider"));
  const wallet = await found;
  const changes = [];
  wallet.on("chainChanged", (id) => changes.push(id));
  const options = new URLSearchParams(location.search);
  const [account] = await wallet.request({ method: "eth_requestAccounts" });
  const network = (chainId) => ({
    chainId,
    chainName: "QENEX developer chain",
    nativeCurrency: { name: "QXC", symbol: "QXC", decimals: 18 },
    rpcUrls: [options.get("rpc")],
  });
  const add = (chainId) =>
    wallet.request({ method: "wallet_addEthereumChain", params: [network(chainId)] });
  const refused = await add("0x1").then(() => null, (error) => error.message);
  await add("0x7a69");
  await wallet.request({ method: "wallet_switchEthereumChain", params: [{ chainId: "0x7a69" }] });

  const provider = new BrowserProvider(wallet, undefined, { cacheTimeout: -1, pollingInterval: 50 });
  const signer = await provider.getSigner();
  const sent = await signer.sendTransaction({ to: RECEIVER, value: parseEther("2") });
  const receipt = await sent.wait();
  const message = await signer.signMessage("good morning");
  const domain = { name: "Page", chainId: 31337 };
  const types = { Order: [{ name: "amount", type: "uint256" }] };
  const typed = await signer.signTypedData(domain, types, { amount: 5n });
  return {
    ok: true,
    account,
    refused,
    changes,
    hash: receipt.hash,
    status: receipt.status,
    balance: (await provider.getBalance(RECEIVER)).toString(),
    message: verifyMessage("good morning", message) === account,
    typed: verifyTypedData(domain, types, { amount: 5n }, typed) === account,
  };
}

const facts = await run().catch((error) => ({ ok: false, error: error.message }));
document.querySelector("#facts").textContent = JSON.stringify(facts);
