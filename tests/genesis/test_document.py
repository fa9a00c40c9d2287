"""The genesis document: what is written is read back, and every mistake is named by its path."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genesis.document import CHAIN_ID_MAX, FORKS, Genesis, load, parse
from genesis.nodes import NodeEntry, Role
from genesis.predeploys import (
    HISTORY_ADDRESS,
    evidence_account,
    history_account,
    node_registry_account,
    registry_account,
)
from genesis.profiles import localnet
from genesis.writing import save, to_json
from p2p.keys import NodeKey
from primitives.account import GenesisAccount
from primitives.errors import ConfigError
from primitives.params import (
    EVIDENCE_VERIFIER,
    NODE_REGISTRY,
    POWER_MAX,
    ChainParams,
    ConsensusTimes,
)
from primitives.types import (
    UINT64_MAX,
    UINT256_MAX,
    Address,
    ChainId,
    Gas,
    Hash32,
    Nonce,
    Power,
    Wei,
)
from primitives.validators import Validator, ValidatorSet


def node(number: int, validator: Address | None = None) -> NodeEntry:
    role = Role.OBSERVER if validator is None else Role.VALIDATOR
    peer_id = NodeKey(number.to_bytes(32, "big")).peer_id
    return NodeEntry(peer_id, (f"/ip4/127.0.0.1/tcp/{30303 + number}",), validator, role)


VALIDATORS = [Address(bytes([i]) * 20) for i in range(1, 5)]
GENESIS = localnet([node(i, each) for i, each in enumerate(VALIDATORS)], timestamp=1_700_000_000)


def as_document(genesis: Genesis) -> dict[str, Any]:
    found = json.loads(json.dumps(to_json(genesis)))
    assert isinstance(found, dict)
    return found


addresses = st.binary(min_size=20, max_size=20).filter(any).map(Address)
words = st.integers(1, UINT256_MAX)
accounts = st.builds(
    GenesisAccount,
    balance=st.integers(0, UINT256_MAX).map(Wei),
    nonce=st.integers(0, UINT64_MAX - 1).map(Nonce),
    code=st.binary(max_size=40),
    storage=st.dictionaries(st.integers(0, UINT256_MAX), words, max_size=3),
)
members = st.builds(
    Validator,
    address=addresses,
    power=st.integers(1, POWER_MAX).map(Power),
    pq_key_hash=st.binary(min_size=32, max_size=32).map(Hash32),
)
timers = st.builds(
    ConsensusTimes,
    timeout_propose_ms=st.integers(1, 5_000),
    timeout_vote_ms=st.integers(1, 5_000),
    timeout_delta_ms=st.integers(0, 5_000),
    timeout_max_ms=st.integers(5_000, 600_000),
    rebroadcast_ms=st.integers(1, 600_000),
)


@st.composite
def documents(draw: st.DrawFn) -> Genesis:
    found = draw(st.lists(members, min_size=1, max_size=4, unique_by=lambda each: each.address))
    fee_min, period = draw(st.integers(0, 10**9)), draw(st.integers(1, 10_000))
    params = ChainParams(
        chain_id=ChainId(draw(st.integers(1, CHAIN_ID_MAX))),
        gas_limit=Gas(draw(st.integers(1_000_000, 10**10))),
        base_fee_min=Wei(fee_min),
        base_fee_initial=Wei(draw(st.integers(fee_min, 10**12))),
        block_period_ms=period,
        empty_block_period_ms=draw(st.integers(period, 3_600_000)),
        clock_drift_ms=draw(st.integers(0, 600_000)),
        times=draw(timers),
        validator_registry=draw(addresses),
        osaka_time=draw(st.none() | st.integers(0, UINT64_MAX)),
    )
    validators = ValidatorSet.of(found)
    alloc = draw(st.dictionaries(addresses, accounts, max_size=3))
    alloc[HISTORY_ADDRESS] = history_account()
    nodes = [node(i, each.address) for i, each in enumerate(found) if draw(st.booleans())]
    nodes += [node(100 + i) for i in range(draw(st.integers(0, 2)))]
    alloc[EVIDENCE_VERIFIER] = evidence_account()
    alloc[NODE_REGISTRY] = node_registry_account(nodes, params.validator_registry)
    alloc[params.validator_registry] = registry_account(validators)
    return Genesis(params, draw(st.integers(0, UINT64_MAX)), alloc, validators, tuple(nodes))


@settings(max_examples=60, deadline=None)
@given(documents())
def test_round_trip(genesis: Genesis) -> None:
    """A written document reads back to an equal value. Kills: a field that is not written."""
    assert parse(as_document(genesis)) == genesis


def test_file_round_trip(tmp_path: Path) -> None:
    """Also through a file, which is never overwritten."""
    path = tmp_path / "genesis.json"
    save(GENESIS, path)
    assert load(path) == GENESIS
    with pytest.raises(FileExistsError):
        save(GENESIS, path)


def test_predeploys_are_added() -> None:
    """A document by hand may leave out the registries, the verifier and the history contract."""
    document = as_document(GENESIS)
    predeploys = (EVIDENCE_VERIFIER, NODE_REGISTRY, HISTORY_ADDRESS)
    for address in (GENESIS.params.validator_registry, *predeploys):
        del document["alloc"]["0x" + address.hex()]
    assert parse(document) == GENESIS


def test_smallest_document() -> None:
    """Everything with a default may be left out; decimal text and 0x hex are numbers."""
    address = "0x" + VALIDATORS[0].hex()
    genesis = parse(
        {
            "config": {"chainId": "7", **dict.fromkeys(FORKS, 0)},
            "gasLimit": "0x1c9c380",
            "alloc": {VALIDATORS[1].hex(): {"balance": "12"}},
            "qenex": {"validators": [{"address": address}]},
        }
    )
    assert genesis.params == ChainParams(ChainId(7), gas_limit=Gas(30_000_000))
    assert genesis.alloc[VALIDATORS[1]] == GenesisAccount(balance=Wei(12))
    assert genesis.validators == ValidatorSet.of([Validator(VALIDATORS[0])])


def test_osaka_has_a_time_or_none() -> None:
    """`osakaTime` goes into the parameters; null and absence leave the network at Prague."""
    document = as_document(GENESIS)
    assert parse(document).params.osaka_time is None
    for value, expected in ((0, 0), ("0x10", 16), (None, None)):
        document["config"]["osakaTime"] = value
        assert parse(document).params.osaka_time == expected


REGISTRY = "0x" + GENESIS.params.validator_registry.hex()
NODE = {"peerId": node(77).peer_id}
MISTAKES: list[tuple[str, Any, str]] = [
    ("extra", 1, "extra: unknown key"),
    ("config.chainId", 0, f"config.chainId: must be 1 to {CHAIN_ID_MAX}, found 0"),
    ("config.chainId", CHAIN_ID_MAX + 1, "config.chainId: must be"),
    ("config.chainId", True, "config.chainId: must be a number, found true"),
    ("config.chainId", 1.5, "config.chainId: must be a number, found 1.5"),
    ("config.chainId", None, "config.chainId: must be a number, found null"),
    ("config.chainID", 1, "config.chainID: unknown key"),
    ("config.londonBlock", 5, "config.londonBlock: must be 0"),
    ("config.pragueTime", 1, "config.pragueTime: must be 0"),
    ("config.osakaTime", -1, "config.osakaTime: must be"),
    ("config.bpo1Time", 0, "config.bpo1Time: this version ends at Osaka"),
    ("config.daoForkBlock", 0, "config.daoForkBlock: unknown key"),
    ("config.blobSchedule", {}, "config.blobSchedule: must hold Ethereum's values"),
    ("config", [], "config: must be an object, found []"),
    ("gasLimit", "0x1", "gasLimit: must be 1000000 to"),
    ("difficulty", "0x1", "difficulty: must be zero"),
    ("coinbase", "0x" + "11" * 20, "coinbase: must be zero"),
    ("extraData", "0x00", "extraData: must be 0x or the validator set's hash"),
    ("timestamp", "0x1" + "0" * 16, "timestamp: must be 0 to"),
    ("baseFeePerGas", "-1", 'baseFeePerGas: must be a number, found "-1"'),
    ("alloc.0x12", {}, "alloc.0x12: must be 20 bytes, found 1"),
    ("alloc.xyz", {}, "alloc.xyz: must be hex bytes"),
    (f"alloc.{REGISTRY[2:]}", {}, "this account stands twice in alloc"),
    (f"alloc.{REGISTRY}.code", "0x", f"alloc.{REGISTRY}.code: missing"),
    (f"alloc.{REGISTRY}.storage", {}, f"alloc.{REGISTRY}.storage: holds other validators"),
    (f"alloc.{REGISTRY}.balance", "0x1" + "0" * 64, f"alloc.{REGISTRY}.balance: must be a number"),
    (f"alloc.{REGISTRY}.nonce", str(UINT64_MAX), f"alloc.{REGISTRY}.nonce: must be 0 to"),
    (f"alloc.{REGISTRY}.stuff", 1, f"alloc.{REGISTRY}.stuff: unknown key"),
    (f"alloc.{REGISTRY}.code", "0x123", f"alloc.{REGISTRY}.code: must be hex bytes"),
    (f"alloc.{REGISTRY}.storage", {"0x": "0x1"}, f"alloc.{REGISTRY}.storage.0x: must be a number"),
    (f"alloc.{REGISTRY}.storage", {"0x1": 1}, f"alloc.{REGISTRY}.storage.0x1: must be text"),
    (
        f"alloc.{REGISTRY}.storage",
        {"0x1": "0x1", "0x01": "0x2"},
        f"alloc.{REGISTRY}.storage.0x01: this slot stands twice",
    ),
    ("qenex.validators", [], "qenex.validators: must have 1 to 100 validators, found 0"),
    ("qenex.validators.2.power", 0, "qenex.validators[2].power: must be 1 to 1000, found 0"),
    ("qenex.validators.2.power", 1001, "qenex.validators[2].power: must be 1 to 1000, found 1001"),
    ("qenex.validators.0.address", "0x00", "qenex.validators[0].address: must be 20 bytes"),
    (
        "qenex.validators.1.address",
        "0x" + VALIDATORS[0].hex(),
        "qenex.validators[1].address: must not be zero, nor stand twice",
    ),
    ("qenex.validators.0.pqKeyHash", "0x01", "qenex.validators[0].pqKeyHash: must be 32 bytes"),
    ("qenex.validators.0.weight", 1, "qenex.validators[0].weight: unknown key"),
    ("qenex.nodes.0.peerId", "12D3KooW", "qenex.nodes[0].peerId: must be the peer id"),
    ("qenex.nodes.0.peerId", "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N", "must be the peer"),
    ("qenex.nodes.1", {**NODE, "role": "validator"}, "qenex.nodes[1].role: must be observer"),
    ("qenex.nodes.1", {**NODE, "role": "king"}, "qenex.nodes[1].role: must be one of validator"),
    (
        "qenex.nodes.1",
        {**NODE, "validator": "0x" + "99" * 20},
        "qenex.nodes[1].validator: is not among qenex.validators",
    ),
    (
        "qenex.nodes.1",
        {**NODE, "validator": "0x" + VALIDATORS[0].hex()},
        "qenex.nodes[1].validator: has another node already",
    ),
    ("qenex.nodes.1", {"peerId": node(0).peer_id}, "qenex.nodes[1].peerId: this peer stands twice"),
    ("qenex.nodes.0.addresses.0", "/ip4/1.2.3.4/tcp/0", "qenex.nodes[0].addresses[0]: must look"),
    ("qenex.blockPeriodMs", 0, "qenex.blockPeriodMs: must be 1 to"),
    ("qenex.emptyBlockPeriodMs", 249, "qenex.emptyBlockPeriodMs: must be 250 to"),
    ("qenex.baseFeeMin", 10**10, "baseFeePerGas: must be 10000000000 to"),
    ("qenex.timeouts.proposeMs", 0, "qenex.timeouts.proposeMs: must be 1 to"),
    ("qenex.timeouts.maxMs", 499, "qenex.timeouts.maxMs: must not be below proposeMs and voteMs"),
    ("qenex.timeouts.sleepMs", 1, "qenex.timeouts.sleepMs: unknown key"),
]


def planted(path: str, value: Any) -> dict[str, Any]:
    document = copy.deepcopy(as_document(GENESIS))
    place: Any = document
    *way, last = path.split(".")
    for step in way:
        place = place[int(step) if isinstance(place, list) else step]
    place[int(last) if isinstance(place, list) else last] = value
    return document


@pytest.mark.parametrize(("path", "value", "message"), MISTAKES)
def test_mistakes_are_named(path: str, value: Any, message: str) -> None:
    """Each wrong value is refused with its path and what it must be."""
    with pytest.raises(ConfigError) as caught:
        parse(planted(path, value))
    assert message in caught.value.message


@pytest.mark.parametrize(
    "path",
    ["config", "gasLimit", "alloc", "qenex", "config.chainId", *(f"config.{f}" for f in FORKS)],
)
def test_missing_keys_are_named(path: str) -> None:
    """What a document must have is asked for by its path."""
    document = as_document(GENESIS)
    place: Any = document
    *way, last = path.split(".")
    for step in way:
        place = place[step]
    del place[last]
    with pytest.raises(ConfigError, match=f"^{path}: missing"):
        parse(document)


def test_node_registry_holds_the_nodes_of_the_document() -> None:
    """Nodes that were edited without their registry are refused; left out, it is written anew.

    Kills: the registry of the document believed, or overwritten, without a comparison.
    """
    document = as_document(GENESIS)
    document["qenex"]["nodes"].append(NODE)
    place = "0x" + NODE_REGISTRY.hex()
    with pytest.raises(ConfigError, match=f"{place}.storage: holds other nodes than qenex"):
        parse(document)
    del document["alloc"][place]
    found = parse(document)
    expected = node_registry_account(found.nodes, found.params.validator_registry)
    assert found.alloc[NODE_REGISTRY] == expected
    assert len(found.nodes) == len(GENESIS.nodes) + 1
    with pytest.raises(ConfigError, match="the node registry stands here"):
        parse(planted(f"alloc.{place}", {"balance": "0x1"}))


def test_own_registry_code_is_trusted() -> None:
    """A registry of an older version keeps the chain that began with it: code decides, not us."""
    document = planted(f"alloc.{REGISTRY}", {"code": "0x00", "storage": {"0x1": "0x2"}})
    account = parse(document).alloc[GENESIS.params.validator_registry]
    assert account == GenesisAccount(code=b"\0", storage={1: 2})


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "nested deeper than 32"),
        (b'{"a":' * 33 + b"1" + b"}" * 33, "nested deeper than 32"),
        (b'{"a":' * 32 + b"1" + b"}" * 32, "a: unknown key"),
        (b'["' + b"[" * 100 + b'"]', "document: must be an object"),
        (b"9" * 5_000, "not JSON"),
        (b'{"a": 1, "a": 2}', 'the key "a" stands twice'),
        (b"[]", "document: must be an object"),
        (b"NaN", "document: must be an object"),
        (b"", "not JSON"),
    ],
)
def test_garbage_files(tmp_path: Path, raw: bytes, message: str) -> None:
    """A file that is no document is refused with its name."""
    path = tmp_path / "genesis.json"
    path.write_bytes(raw)
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(path) in caught.value.message
    assert message in caught.value.message


def test_missing_file(tmp_path: Path) -> None:
    """A file that is not there is a ConfigError, no traceback."""
    with pytest.raises(ConfigError, match="No such file"):
        load(tmp_path / "nothing.json")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([path for path, _, _ in MISTAKES]), json_values)
def test_any_value_parses_or_is_refused(path: str, value: Any) -> None:
    """Whatever stands in a field, the answer is a genesis or a ConfigError."""
    try:
        found = parse(planted(path, value))
    except ConfigError:
        return
    assert parse(as_document(found)) == found
