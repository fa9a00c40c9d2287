// viem against a QENEX network: deploy an ERC-20, transfer from two accounts, read it all back
// from every node, and follow newHeads over WebSocket.

import {
  BaseError,
  ContractFunctionRevertedError,
  createPublicClient,
  createWalletClient,
  defineChain,
  http,
  webSocket,
} from "viem";
import { mnemonicToAccount } from "viem/accounts";
import { FIRST, MNEMONIC, SECOND, SUPPLY, allEqual, check, main, until } from "./common.mjs";

const account = (index) => mnemonicToAccount(MNEMONIC, { addressIndex: index });

async function receiptAt(node, hash) {
  return until(
    () => node.getTransactionReceipt({ hash }).catch((error) => {
      if (error.name === "TransactionReceiptNotFoundError") return null;
      throw error;
    }),
    `receipt of ${hash}`,
  );
}

async function revertName(node, call) {
  try {
    await node.simulateContract(call);
  } catch (error) {
    check(error instanceof BaseError, `unexpected error: ${error.message}`);
    const reverted = error.walk((each) => each instanceof ContractFunctionRevertedError);
    return reverted?.data?.errorName;
  }
  throw new Error("a transfer above the balance did not revert");
}

async function run({ abi, bytecode, ws, urls }) {
  const id = await createPublicClient({ transport: http(urls[0]) }).getChainId();
  const chain = defineChain({
    id,
    name: "QENEX",
    nativeCurrency: { name: "QXC", symbol: "QXC", decimals: 18 },
    rpcUrls: { default: { http: urls } },
  });
  const nodes = urls.map((url) =>
    createPublicClient({ chain, transport: http(url, { batch: true }), pollingInterval: 100 }),
  );
  const [owner, second, third] = [account(0), account(1), account(2)];
  const wallet = createWalletClient({ chain, transport: http(urls[0]) });
  const socket = createPublicClient({ chain, transport: webSocket(ws) });
  const heads = new Map();
  const failures = [];
  const stop = await socket.watchBlocks({
    onBlock: (block) => heads.set(block.number, block.hash),
    onError: (error) => failures.push(error.message),
  });
  await socket.getBlockNumber();

  const deployed = await receiptAt(
    nodes[0],
    await wallet.deployContract({ abi, bytecode, account: owner, args: ["Coin", "CO", SUPPLY] }),
  );
  check(deployed.status === "success", "deployment failed");
  const address = deployed.contractAddress;
  const send = async (from, to, value) => {
    const args = [to.address, value];
    const call = { address, abi, functionName: "transfer", args, account: from };
    const receipt = await receiptAt(nodes[0], await wallet.writeContract(call));
    check(receipt.status === "success", "transfer failed");
    return receipt;
  };
  await send(owner, second, FIRST);
  const last = await send(second, third, SECOND);

  const blocks = [];
  for (const node of nodes) {
    await receiptAt(node, last.transactionHash);
    const balance = (who) =>
      node.readContract({ address, abi, functionName: "balanceOf", args: [who.address] });
    const balances = await Promise.all([owner, second, third].map(balance));
    check(balances[0] === SUPPLY - FIRST, "owner's balance is wrong");
    check(balances[1] === FIRST - SECOND, "second balance is wrong");
    check(balances[2] === SECOND, "third balance is wrong");
    const events = await node.getContractEvents({
      address, abi, eventName: "Transfer", args: { from: second.address },
      fromBlock: deployed.blockNumber, toBlock: last.blockNumber,
    });
    check(events.length === 1 && events[0].args.value === SECOND, "Transfer event is wrong");
    const block = await node.getBlock({ blockNumber: last.blockNumber });
    check(block.hash === last.blockHash, "the block differs from its receipt");
    blocks.push(block);
  }
  const name = await revertName(nodes[0], {
    address, abi, functionName: "transfer", args: [owner.address, SUPPLY], account: third,
  });
  check(name === "ERC20InsufficientBalance", `custom error not decoded: ${name}`);
  await until(() => heads.has(last.blockNumber), "newHeads of the last block");
  check(heads.get(last.blockNumber) === last.blockHash, "newHeads shows another block");
  check(failures.length === 0, `newHeads: ${failures[0]}`);
  stop();
  return {
    nodes: nodes.length,
    contract: address,
    height: last.blockNumber,
    blockHash: allEqual(blocks.map((each) => each.hash), "block hash"),
    stateRoot: allEqual(blocks.map((each) => each.stateRoot), "state root"),
    heads: heads.size,
  };
}

await main("viem", run);
