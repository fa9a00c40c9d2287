"""What web3.py's test modules ask for: contracts, blocks and accounts on a fresh developer chain.

A pytest plugin of the session that `tests/clients/test_web3_modules.py` starts. Tests that need a
waiting transaction run without automine; all others with it. Coroutines run in one loop.
"""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest
from web3 import AsyncHTTPProvider, AsyncWeb3, HTTPProvider, Web3, WebSocketProvider
from web3._utils.contract_sources.contract_data import (
    emitter_contract,
    math_contract,
    offchain_lookup,
    panic_errors_contract,
    revert_contract,
    storage_contract,
)
from web3._utils.contract_sources.contract_data._custom_contract_data import EMITTER_ENUM
from web3._utils.module_testing.utils import RequestMocker

from genesis.profiles import TEST_KEYS

URL = os.environ.get("QENEX_DEV_URL", "")
KEY = next(iter(TEST_KEYS.values()))
WAITING = ("replace_transaction", "modify_transaction", "block_pending", "unmined", "txpool")
NOT_WAITING = ("already_mined", "Persistent")
TICK_MS = 100
"""Subscriptions are shown blocks that come by themselves."""

CASE_TIMEOUT_S = 12
CONTRACTS: dict[str, Any] = {
    "math": math_contract.MATH_CONTRACT_DATA,
    "emitter": emitter_contract.EMITTER_CONTRACT_DATA,
    "revert": revert_contract.REVERT_CONTRACT_DATA,
    "panic_errors": panic_errors_contract.PANIC_ERRORS_CONTRACT_DATA,
    "storage": storage_contract.STORAGE_CONTRACT_DATA,
    "offchain_lookup": offchain_lookup.OFFCHAIN_LOOKUP_DATA,
}


def pytest_configure(config: pytest.Config) -> None:
    """Know the mark that web3.py's coroutines carry."""
    config.addinivalue_line("markers", "asyncio: a coroutine")


@cache
def loop() -> asyncio.AbstractEventLoop:
    """Return the one loop."""
    made = asyncio.new_event_loop()
    asyncio.set_event_loop(made)
    return made


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is a coroutine."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    given = {name: pyfuncitem.funcargs[name] for name in names}
    loop().run_until_complete(asyncio.wait_for(pyfuncitem.obj(**given), CASE_TIMEOUT_S))
    return True


@cache
def plain() -> Web3:
    """Return a client for what stands around the tests."""
    return Web3(HTTPProvider(URL))


@cache
def chain() -> dict[str, Any]:
    """Deploy the contracts, and make a block of each kind; returns their names."""
    w3: Any = plain()
    account = w3.eth.accounts[0]

    def mined(sent: Any) -> Any:
        return w3.eth.wait_for_transaction_receipt(sent)

    facts: dict[str, Any] = {"account": account}
    for name, data in CONTRACTS.items():
        receipt = mined(w3.eth.contract(**data).constructor().transact({"from": account}))
        facts[name] = receipt["contractAddress"]
        facts[name + "_hash"] = receipt["transactionHash"].to_0x_hex()
    fee_recipient_of_genesis = w3.eth.get_block(0)["miner"]
    mined(w3.eth.send_transaction({"from": account, "to": fee_recipient_of_genesis, "value": 1}))
    receipt = mined(w3.eth.send_transaction({"from": account, "to": account, "value": 1}))
    facts["mined"] = receipt["transactionHash"].to_0x_hex()
    facts["block_with_txn"] = receipt["blockHash"]
    emitter = w3.eth.contract(address=facts["emitter"], abi=CONTRACTS["emitter"]["abi"])
    call = emitter.functions.logDouble(
        which=EMITTER_ENUM["LogDoubleWithIndex"], arg0=12345, arg1=54321
    )
    receipt = mined(call.transact({"from": account}))
    facts["logged"] = receipt["transactionHash"].to_0x_hex()
    facts["block_with_log"] = receipt["blockHash"]
    w3.provider.make_request("evm_mine", [])
    facts["empty"] = w3.eth.get_block("latest")["hash"]
    return facts


@pytest.fixture(autouse=True)
def mining(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let transactions wait where the test is about waiting ones."""
    name = request.node.nodeid
    waits = any(each in name for each in WAITING) and not any(each in name for each in NOT_WAITING)
    ask: Any = plain().provider.make_request
    if waits:
        ask("evm_setAutomine", [False])
    if "Persistent" in name:
        ask("evm_setIntervalMining", [TICK_MS])
    yield
    if waits:
        ask("evm_setAutomine", [True])
        ask("evm_mine", [])
    if "Persistent" in name:
        ask("evm_setIntervalMining", [0])


@pytest.fixture(scope="class", autouse=True)
def as_it_was() -> Iterator[None]:
    """Let each class begin with the same chain."""
    chain()
    ask: Any = plain().provider.make_request
    before = ask("evm_snapshot", [])["result"]
    yield
    assert ask("evm_revert", [before])["result"] is True


@pytest.fixture(scope="module")
def w3() -> Web3:
    chain()
    return Web3(HTTPProvider(URL, request_kwargs={"timeout": 20}))


@pytest.fixture
def async_w3(request: pytest.FixtureRequest) -> Iterator[Any]:
    chain()
    if "Persistent" not in request.cls.__name__:
        made: Any = AsyncWeb3(AsyncHTTPProvider(URL))
        yield made
        loop().run_until_complete(made.provider.disconnect())
        return
    socket = WebSocketProvider(URL.replace("http", "ws", 1))

    async def connected() -> Any:
        return await AsyncWeb3(socket)

    yield loop().run_until_complete(connected())
    loop().run_until_complete(socket.disconnect())


def _fixture(name: str, make: Callable[[pytest.FixtureRequest], Any]) -> None:
    def function(request: pytest.FixtureRequest) -> Any:
        return make(request)

    globals()[name] = pytest.fixture(function, name=name)


def _contract(name: str, client: str) -> Callable[[pytest.FixtureRequest], Any]:
    def make(request: pytest.FixtureRequest) -> Any:
        client_now = request.getfixturevalue(client)
        return client_now.eth.contract(**CONTRACTS[name])(address=chain()[name])

    return make


def _fact(key: str) -> Callable[[pytest.FixtureRequest], Any]:
    return lambda _: chain()[key]


def _block(key: str) -> Callable[[pytest.FixtureRequest], Any]:
    return lambda _: plain().eth.get_block(chain()[key])


for _name in CONTRACTS:
    _fixture(f"{_name}_contract", _contract(_name, "w3"))
    _fixture(f"async_{_name}_contract", _contract(_name, "async_w3"))
for _prefix in ("", "async_"):
    for _name, _key in {
        "keyfile_account_address": "account",
        "keyfile_account_address_dual_type": "account",
        "math_contract_address": "math",
        "emitter_contract_address": "emitter",
        "mined_txn_hash": "mined",
        "txn_hash_with_log": "logged",
        "math_contract_deploy_txn_hash": "math_hash",
    }.items():
        _fixture(_prefix + _name, _fact(_key))
    for _name, _key in {
        "empty_block": "empty",
        "block_with_txn": "block_with_txn",
        "block_with_txn_with_log": "block_with_log",
    }.items():
        _fixture(_prefix + _name, _block(_key))
_fixture("keyfile_account_pkey", lambda _: "0x" + KEY.hex())
_fixture("datadir", lambda _: os.environ["QENEX_DEV_DATA"])
_fixture("request_mocker", lambda _: RequestMocker)
_fixture("skip_if_testrpc", lambda _: lambda _client: None)
_fixture("async_skip_if_testrpc", lambda _: lambda _client: None)
