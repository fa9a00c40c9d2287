"""web3.py, as its users have it, works against the server: deploy, write, read, events, follow."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from eth_account import Account as Wallet
from web3 import AsyncWeb3, HTTPProvider, Web3
from web3.exceptions import ContractCustomError, Web3RPCError
from web3.middleware import SignAndSendRawMiddlewareBuilder
from web3.providers.persistent import WebSocketProvider

from contracts import artifact
from tests.node.rpc.conftest import Served
from tests.node.rpc.devchain import funded_keys

pytestmark = pytest.mark.process

OWNER, SECOND = (Wallet.from_key(each.raw) for each in funded_keys(2))
SUPPLY = 10**24


@pytest.fixture
def web3(served: Served) -> Web3:
    """A connected web3 that signs for two accounts."""
    made = Web3(HTTPProvider(f"http://127.0.0.1:{served.port}"))
    signer = SignAndSendRawMiddlewareBuilder.build([OWNER, SECOND])
    made.middleware_onion.inject(signer, layer=0)
    return made


def _contract(web3: Web3) -> Any:
    token = artifact("ERC20")
    factory = web3.eth.contract(abi=cast("Any", token.abi), bytecode=token.bytecode)
    sent = factory.constructor("Coin", "CO", SUPPLY).transact({"from": OWNER.address})
    receipt = web3.eth.wait_for_transaction_receipt(sent, poll_latency=0.01)
    assert receipt["status"] == 1
    return web3.eth.contract(address=receipt["contractAddress"], abi=cast("Any", token.abi))


def test_deploy_transfer_and_events(web3: Web3) -> None:
    """An ERC-20 is deployed, transferred from a second account, and read with its events."""
    assert web3.is_connected()
    assert web3.eth.chain_id == 20_260
    token = _contract(web3)
    third = Wallet.create().address
    token.functions.transfer(SECOND.address, 50).transact({"from": OWNER.address})
    sent = token.functions.transfer(third, 20).transact({"from": SECOND.address})
    receipt = web3.eth.wait_for_transaction_receipt(sent, poll_latency=0.01)
    balances = [token.functions.balanceOf(each).call() for each in (SECOND.address, third)]
    assert balances == [30, 20]
    events = token.events.Transfer().get_logs(from_block=receipt["blockNumber"])
    assert [event["args"]["value"] for event in events] == [20]
    assert web3.eth.get_block("finalized")["hash"] == receipt["blockHash"]
    assert web3.eth.get_transaction(sent)["from"] == SECOND.address
    with pytest.raises(ContractCustomError):
        token.functions.transfer(third, SUPPLY).call({"from": SECOND.address})


def test_reads_and_errors(web3: Web3) -> None:
    """Fees, filters, storage and errors are what web3.py expects."""
    assert web3.eth.gas_price > 0
    assert web3.eth.max_priority_fee > 0
    assert web3.eth.fee_history(2, "latest", [10, 90])["gasUsedRatio"]
    assert web3.eth.syncing is False
    assert list(web3.eth.accounts) == []
    assert web3.net.version == "20260"
    assert web3.net.peer_count == 3
    blocks = web3.eth.filter("latest")
    _contract(web3)
    entries: list[Any] = list(blocks.get_new_entries())
    assert entries == [web3.eth.get_block("latest")["hash"]]
    assert web3.eth.get_block_receipts("latest")[0]["contractAddress"]
    with pytest.raises(Web3RPCError, match="nonce too low"):
        web3.eth.send_raw_transaction(
            OWNER.sign_transaction(
                {
                    "to": SECOND.address,
                    "value": web3.to_wei(1, "wei"),
                    "gas": 21_000,
                    "gasPrice": web3.eth.gas_price,
                    "nonce": cast("Any", 0),
                    "chainId": 20_260,
                }
            ).raw_transaction
        )
    assert web3.eth.get_balance(OWNER.address, 0) > web3.eth.get_balance(OWNER.address)
    proof = cast("Any", web3.eth).get_proof(OWNER.address, [0], 0)
    assert (proof["nonce"], len(proof["storageProof"])) == (0, 1)


def test_follow_over_websocket(served: Served) -> None:
    """AsyncWeb3 subscribes to newHeads and sees the next block."""

    async def follow() -> int:
        async with AsyncWeb3(WebSocketProvider(f"ws://127.0.0.1:{served.port}")) as web3:
            await web3.eth.subscribe("newHeads")
            served.chain.mine()
            async for message in web3.socket.process_subscriptions():
                result = cast("Any", message)["result"]
                return int(result["number"])
        return -1

    assert asyncio.run(follow()) == served.chain.view().head.height
