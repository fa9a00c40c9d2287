// ethers against a QENEX network: deploy an ERC-20, transfer from two accounts, read it all back
// from every node, and follow newHeads over WebSocket.

import {
  Contract,
  ContractFactory,
  HDNodeWallet,
  JsonRpcProvider,
  Mnemonic,
  WebSocketProvider,
} from "ethers";
import { FIRST, MNEMONIC, SECOND, SUPPLY, allEqual, check, main, until } from "./common.mjs";

const mnemonic = Mnemonic.fromPhrase(MNEMONIC);
const account = (index) => HDNodeWallet.fromMnemonic(mnemonic, `m/44'/60'/0'/0/${index}`);

async function revertName(contract, to) {
  try {
    await contract.transfer.staticCall(to, SUPPLY);
  } catch (error) {
    check(error.code === "CALL_EXCEPTION", `unexpected error: ${error.message}`);
    return error.revert?.name;
  }
  throw new Error("a transfer above the balance did not revert");
}

async function run({ abi, bytecode, ws, urls }) {
  // ethers repeats an answer for 250 ms by default; with blocks quicker than that, nonces go stale.
  const tuned = { pollingInterval: 100, cacheTimeout: -1 };
  const nodes = urls.map((url) => new JsonRpcProvider(url, undefined, tuned));
  const socket = new WebSocketProvider(ws);
  const seen = new Set();
  await socket.on("block", (number) => seen.add(number));
  await socket.getBlockNumber();

  const [owner, second, third] = [0, 1, 2].map((index) => account(index).connect(nodes[0]));
  const factory = new ContractFactory(abi, bytecode, owner);
  const coin = await factory.deploy("Coin", "CO", SUPPLY);
  const deployed = await coin.deploymentTransaction().wait();
  check(deployed.status === 1, "deployment failed");
  const address = await coin.getAddress();
  const send = async (from, to, value) => {
    const sent = await coin.connect(from).transfer(to.address, value);
    const receipt = await sent.wait();
    check(receipt.status === 1, "transfer failed");
    return receipt;
  };
  await send(owner, second, FIRST);
  const last = await send(second, third, SECOND);

  const hashes = [];
  const roots = [];
  for (const node of nodes) {
    await until(() => node.getTransactionReceipt(last.hash), `receipt of ${last.hash}`);
    const seenBy = new Contract(address, abi, node);
    const balances = await Promise.all(
      [owner, second, third].map((who) => seenBy.balanceOf(who.address)),
    );
    check(balances[0] === SUPPLY - FIRST, "owner's balance is wrong");
    check(balances[1] === FIRST - SECOND, "second balance is wrong");
    check(balances[2] === SECOND, "third balance is wrong");
    const wanted = seenBy.filters.Transfer(second.address);
    const events = await seenBy.queryFilter(wanted, deployed.blockNumber, last.blockNumber);
    check(events.length === 1 && events[0].args.value === SECOND, "Transfer event is wrong");
    const block = await node.getBlock(last.blockNumber);
    check(block.hash === last.blockHash, "the block differs from its receipt");
    hashes.push(block.hash);
    roots.push(block.stateRoot);
  }
  const name = await revertName(coin.connect(third), owner.address);
  check(name === "ERC20InsufficientBalance", `custom error not decoded: ${name}`);
  await until(() => seen.has(last.blockNumber), "newHeads of the last block");
  await socket.destroy();
  nodes.forEach((node) => node.destroy());
  return {
    nodes: nodes.length,
    contract: address,
    height: last.blockNumber,
    blockHash: allEqual(hashes, "block hash"),
    stateRoot: allEqual(roots, "state root"),
    heads: seen.size,
  };
}

await main("ethers", run);
