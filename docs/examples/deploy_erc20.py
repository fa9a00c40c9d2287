"""Deploys an ERC-20 on a running localnet and asks every node what it saw.

    qenex localnet                                    in one terminal
    python docs/examples/deploy_erc20.py [URL ...]    in another (default: ports 8545 to 8548)

The first test account deploys, the second transfers; then every node must tell the same balances,
the same Transfer event, the same block hash and the same state root. Exit code 0 when they do.
"""

from __future__ import annotations

import sys
from typing import Any

from eth_account import Account
from eth_account.signers.local import LocalAccount
from requests.exceptions import RequestException
from web3 import Web3
from web3.contract import Contract
from web3.exceptions import Web3Exception
from web3.types import TxReceipt

from contracts import artifact

URLS = [f"http://127.0.0.1:{port}" for port in range(8545, 8549)]
OWNER_KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
FRIEND_KEY = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d"
"""Private keys of the first two public test accounts. Never use them for anything of worth."""

UNIT = 10**18
SUPPLY = 1_000_000 * UNIT
GIFT, PAYMENT = 500 * UNIT, 125 * UNIT
RECEIVER = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"
TIMEOUT_S = 30


def send(w3: Web3, account: LocalAccount, call: Any) -> TxReceipt:
    """Sign `call` (a constructor or function with its arguments), send it, await its receipt."""
    transaction = call.build_transaction(
        {
            "from": account.address,
            "nonce": w3.eth.get_transaction_count(account.address, "pending"),
            "chainId": w3.eth.chain_id,
        }
    )
    signed = account.sign_transaction(transaction)
    sent = w3.eth.send_raw_transaction(signed.raw_transaction)
    receipt = w3.eth.wait_for_transaction_receipt(sent, timeout=TIMEOUT_S, poll_latency=0.05)
    if receipt["status"] != 1:
        raise SystemExit(f"transaction {sent.to_0x_hex()} failed")
    return receipt


def deploy_and_transfer(w3: Web3) -> tuple[Contract, TxReceipt]:
    """Deploy, let the owner give to a friend and the friend pay on; return the last receipt."""
    owner, friend = Account.from_key(OWNER_KEY), Account.from_key(FRIEND_KEY)
    compiled = artifact("ERC20")
    factory = w3.eth.contract(abi=compiled.abi, bytecode=compiled.bytecode)
    receipt = send(w3, owner, factory.constructor("Example", "EXA", SUPPLY))
    address = receipt["contractAddress"]
    if address is None:
        raise SystemExit("the node names no contract address")
    print(f"deployed     {address} in block {receipt['blockNumber']}, {receipt['gasUsed']:,} gas")
    token = w3.eth.contract(address=address, abi=compiled.abi)
    receipt = send(w3, owner, token.functions.transfer(friend.address, GIFT))
    print(f"gave         {GIFT // UNIT} EXA to {friend.address} in block {receipt['blockNumber']}")
    receipt = send(w3, friend, token.functions.transfer(RECEIVER, PAYMENT))
    print(f"paid         {PAYMENT // UNIT} EXA to {RECEIVER} in block {receipt['blockNumber']}")
    return token, receipt


def what_it_saw(url: str, token: Contract, receipt: TxReceipt) -> tuple[Any, ...]:
    """Return the facts that one node tells about the payment, once it has the block."""
    w3 = Web3(Web3.HTTPProvider(url))
    w3.eth.wait_for_transaction_receipt(
        receipt["transactionHash"], timeout=TIMEOUT_S, poll_latency=0.05
    )
    height = receipt["blockNumber"]
    block = w3.eth.get_block(height)
    here = w3.eth.contract(address=token.address, abi=token.abi)
    balances = tuple(
        here.functions.balanceOf(each).call(block_identifier=height)
        for each in (Account.from_key(OWNER_KEY).address, receipt["from"], RECEIVER)
    )
    events = here.events.Transfer().get_logs(from_block=height, to_block=height)
    ours = [each for each in events if each["transactionHash"] == receipt["transactionHash"]]
    moved = tuple((each["args"]["to"], each["args"]["value"]) for each in ours)
    print(f"{url}")
    print(f"  balances   {', '.join(f'{each / UNIT:,.0f} EXA' for each in balances)}")
    print(f"  event      {', '.join(f'Transfer {v // UNIT} EXA to {to}' for to, v in moved)}")
    print(f"  block      {height}  hash {block['hash'].to_0x_hex()}")
    print(f"  state root {block['stateRoot'].to_0x_hex()}")
    return balances, moved, block["hash"], block["stateRoot"]


def main(urls: list[str]) -> int:
    """Run the example against the nodes at `urls`; return the exit code."""
    w3 = Web3(Web3.HTTPProvider(urls[0]))
    if not w3.is_connected():
        print(f"no node answers at {urls[0]}; start a network with: qenex localnet")
        return 2
    print(f"chain id     {w3.eth.chain_id}, height {w3.eth.block_number}")
    try:
        token, receipt = deploy_and_transfer(w3)
        seen = [what_it_saw(url, token, receipt) for url in urls]
    except (Web3Exception, RequestException) as error:
        print(f"failed: {error}")
        return 1
    expected = (SUPPLY - GIFT, GIFT - PAYMENT, PAYMENT), ((RECEIVER, PAYMENT),)
    if any(each[:2] != expected for each in seen):
        print("DIFFERENT: a node tells other balances or events than were made")
        return 1
    if len(set(seen)) != 1:
        print("DIFFERENT: the nodes do not agree on block hash and state root")
        return 1
    print(f"all {len(urls)} nodes agree on balances, event, block hash and state root")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or URLS))
