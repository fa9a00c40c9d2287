"""The genesis document: geth's genesis.json plus the section `qenex`.

    {
      "config":  {"chainId": 20260, "homesteadBlock": 0, ..., "pragueTime": 0},
      "timestamp": "0x...", "gasLimit": "0x...", "baseFeePerGas": "0x...", "extraData": "0x...",
      "alloc":   {"0x<address>": {"balance", "nonce", "code", "storage"}},
      "qenex":   {
        "blockPeriodMs", "emptyBlockPeriodMs", "clockDriftMs", "baseFeeMin", "validatorRegistry",
        "timeouts":   {"proposeMs", "voteMs", "deltaMs", "maxMs", "rebroadcastMs"},
        "validators": [{"address", "power", "pqKeyHash"}],
        "nodes":      [{"peerId", "addresses", "validator", "role"}],
        "contracts":  [{"name", "address", "codeHash"}],
        "accountPermissions": true
      }
    }

`contracts` names contracts that must stand in the state with exactly this code (its keccak256): the
document is refused where `alloc` holds other code, and a node does not start on another state. With
`accountPermissions` every node asks the AccountPermissions contract who may send and deploy.

Reading is strict: an unknown key, a wrong type or a value out of bounds is a ConfigError that
names the path. Numbers are JSON numbers, decimal text or 0x hex text, as in geth. Every fork up to
Prague is active from the first block; other schedules are refused. Osaka begins with the first
block whose timestamp is at or above `osakaTime` (seconds), where that key is given.

A written document holds the whole first state, contract code included, so that a later version of
this software begins the same chain from it. A document written by hand may leave out the
registries, the EvidenceVerifier and the history contract: reading adds them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from contracts import artifact
from genesis.accounts import NO_SLOTS, read_accounts
from genesis.fields import DECODER, Field, decode_text, parse_json, parse_text
from genesis.known import KnownCode, check_known_codes, known_codes
from genesis.nodes import NodeEntry, Role, check_multiaddr, check_peer_id
from genesis.predeploys import (
    HISTORY_ADDRESS,
    NODES_CONTRACT,
    REGISTRY_CONTRACT,
    evidence_account,
    governance_of,
    history_account,
    node_registry_account,
    node_registry_storage,
    registry_account,
    registry_storage,
)
from primitives.account import GenesisAccount
from primitives.errors import ConfigError
from primitives.params import (
    EVIDENCE_VERIFIER,
    NODE_REGISTRY,
    POWER_MAX,
    VALIDATORS_MAX,
    ChainParams,
    ConsensusTimes,
)
from primitives.types import (
    HASH_BYTES,
    UINT64_MAX,
    ZERO_ADDRESS,
    Address,
    ChainId,
    Gas,
    Hash32,
    Nonce,
    Power,
    Wei,
)
from primitives.validators import Validator, ValidatorSet

DOCUMENT_BYTES_MAX: Final = 256 * 1024 * 1024
NODES_MAX: Final = 1_000
NODE_ADDRESSES_MAX: Final = 8
CHAIN_ID_MAX: Final = 4_503_599_627_370_476
"""Greatest chain id that MetaMask accepts."""
GAS_LIMIT_MIN: Final = 1_000_000
GAS_LIMIT_MAX: Final = 10_000_000_000
PERIOD_MS_MAX: Final = 3_600_000
DRIFT_MS_MAX: Final = 600_000
TIMEOUT_MS_MAX: Final = 600_000

FORKS: Final = (
    "homesteadBlock",
    "eip150Block",
    "eip155Block",
    "eip158Block",
    "byzantiumBlock",
    "constantinopleBlock",
    "petersburgBlock",
    "istanbulBlock",
    "berlinBlock",
    "londonBlock",
    "shanghaiTime",
    "cancunTime",
    "pragueTime",
)
"""Every fork that changes rules, in order; each must be active at 0."""

_SILENT_FORKS: Final = (
    "muirGlacierBlock",
    "arrowGlacierBlock",
    "grayGlacierBlock",
    "mergeNetsplitBlock",
    "terminalTotalDifficulty",
)
_LATER_FORKS: Final = ("bpo1Time", "bpo2Time", "amsterdamTime", "verkleTime")
OSAKA: Final = "osakaTime"
BLOB_SCHEDULE: Final = {
    "cancun": {"target": 3, "max": 6, "baseFeeUpdateFraction": 3_338_477},
    "prague": {"target": 6, "max": 9, "baseFeeUpdateFraction": 5_007_716},
}
"""Ethereum's values, which geth demands in a document; QENEX networks carry no blobs."""

BLOB_SCHEDULE_OSAKA: Final = {**BLOB_SCHEDULE, "osaka": BLOB_SCHEDULE["prague"]}
"""The same where Osaka has a time."""

_TIMES: Final = {
    "proposeMs": "timeout_propose_ms",
    "voteMs": "timeout_vote_ms",
    "deltaMs": "timeout_delta_ms",
    "maxMs": "timeout_max_ms",
    "rebroadcastMs": "rebroadcast_ms",
}


@dataclass(frozen=True, slots=True)
class Genesis:
    """What every node of one network begins with. `alloc` holds the predeployed contracts too."""

    params: ChainParams
    timestamp: int
    alloc: Mapping[Address, GenesisAccount]
    validators: ValidatorSet
    nodes: tuple[NodeEntry, ...] = ()
    contracts: tuple[KnownCode, ...] = ()
    summary: bytes = field(default=b"", compare=False)
    """Digest of the file that it came from, and the document without `alloc`: see `load`."""
    has_alloc: bool = True
    """False when `alloc` was left out on purpose."""


def load(path: Path, *, known: bytes | None = None) -> Genesis:
    """Return the genesis that the file at `path` holds; raises ConfigError.

    `known` is the `summary` of a document whose first state the caller has already: if the file is
    that document, byte for byte, it is not parsed again and `alloc` stays empty.
    """
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").digest()
            is_known = known is not None and known.startswith(digest)
            file.seek(0)
            raw = b"" if is_known else file.read(DOCUMENT_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot read the genesis document: {error.strerror}") from None
    if len(raw) > DOCUMENT_BYTES_MAX:
        raise ConfigError(f"{path}: a genesis document has at most {DOCUMENT_BYTES_MAX} bytes")
    try:
        if known is not None and is_known:
            rest = parse_json(known[len(digest) :], "genesis document")
            return replace(parse(rest, with_alloc=False), summary=known)
        text, raw = decode_text(raw, "genesis document"), b""
        found = read_accounts(text, _account_of, DECODER)
        document = parse_text(text, "genesis document") if found is None else found[0]
        del text
        genesis = parse(document, accounts=None if found is None else found[1])
    except ConfigError as error:
        raise ConfigError(f"{path}: {error.message}", **error.facts) from None
    rest = json.dumps({**document, "alloc": {}}, separators=(",", ":")).encode()
    return replace(genesis, summary=digest + rest)


def parse(
    document: Any,
    *,
    with_alloc: bool = True,
    accounts: dict[Address, GenesisAccount] | None = None,
) -> Genesis:
    """Return the genesis that a parsed JSON document describes; raises ConfigError.

    `accounts` are those of `alloc`, if they were read already.
    """
    root = Field("", document)
    root.keys(
        required={"config", "gasLimit", "alloc", "qenex"},
        optional={"timestamp", "baseFeePerGas", "extraData", *_ZERO_FIELDS},
    )
    for name, length in _ZERO_FIELDS.items():
        _check_zero(root, name, length)
    validators = _validators(root.at("qenex").at("validators"))
    params = _params(root)
    if root.has("extraData"):
        extra = root.at("extraData")
        if extra.raw() not in (b"", validators.hash):
            raise extra.wrong(f"must be 0x or the validator set's hash 0x{validators.hash.hex()}")
    nodes = _nodes(root.at("qenex"), validators)
    alloc: dict[Address, GenesisAccount] = {}
    if with_alloc:
        alloc = dict(_alloc(root.at("alloc"))) if accounts is None else accounts
        _add_predeploys(root.at("alloc"), alloc, params.validator_registry, validators)
        _add_node_registry(root.at("alloc"), alloc, params.validator_registry, nodes)
    contracts = known_codes(root.at("qenex"))
    if with_alloc:
        check_known_codes(root.at("alloc"), alloc, contracts, params)
    return Genesis(
        params=params,
        timestamp=root.at("timestamp").uint(0, UINT64_MAX) if root.has("timestamp") else 0,
        alloc=alloc,
        validators=validators,
        nodes=nodes,
        contracts=contracts,
        has_alloc=with_alloc,
    )


_ZERO_FIELDS: Final = {
    "nonce": None,
    "difficulty": None,
    "number": None,
    "gasUsed": None,
    "blobGasUsed": None,
    "excessBlobGas": None,
    "coinbase": 20,
    "mixHash": 32,
    "mixhash": 32,
    "parentHash": 32,
}


def _check_zero(root: Field, name: str, length: int | None) -> None:
    """Header fields that QENEX fixes may be given, but only as zero."""
    if not root.has(name):
        return
    field = root.at(name)
    if (field.uint() if length is None else any(field.raw(length))) != 0:
        raise field.wrong(f"must be zero in a QENEX network, found {field.shown}")


def _params(root: Field) -> ChainParams:
    config, qenex = root.at("config"), root.at("qenex")
    _check_forks(config)
    default = ChainParams(ChainId(1))
    qenex.keys(
        required={"validators"},
        optional={
            "nodes",
            "timeouts",
            "blockPeriodMs",
            "emptyBlockPeriodMs",
            "clockDriftMs",
            "baseFeeMin",
            "validatorRegistry",
            "contracts",
            "accountPermissions",
        },
    )

    def number(field: Field, name: str, missing: int, low: int, high: int) -> int:
        return field.at(name).uint(low, high) if field.has(name) else missing

    period = number(qenex, "blockPeriodMs", default.block_period_ms, 1, PERIOD_MS_MAX)
    empty = max(period, default.empty_block_period_ms)
    fee_min = number(qenex, "baseFeeMin", default.base_fee_min, 0, UINT64_MAX)
    fee = max(fee_min, default.base_fee_initial)
    registry = default.validator_registry
    if qenex.has("validatorRegistry"):
        registry = qenex.at("validatorRegistry").address()
    return ChainParams(
        chain_id=ChainId(config.at("chainId").uint(1, CHAIN_ID_MAX)),
        gas_limit=Gas(root.at("gasLimit").uint(GAS_LIMIT_MIN, GAS_LIMIT_MAX)),
        base_fee_min=Wei(fee_min),
        base_fee_initial=Wei(number(root, "baseFeePerGas", fee, fee_min, UINT64_MAX)),
        block_period_ms=period,
        empty_block_period_ms=number(qenex, "emptyBlockPeriodMs", empty, period, PERIOD_MS_MAX),
        clock_drift_ms=number(qenex, "clockDriftMs", default.clock_drift_ms, 0, DRIFT_MS_MAX),
        times=_times(qenex.at("timeouts")) if qenex.has("timeouts") else default.times,
        validator_registry=registry,
        osaka_time=_osaka_time(config),
        account_permissions=_switch(qenex, "accountPermissions"),
    )


def _switch(qenex: Field, name: str) -> bool:
    value = qenex.at(name).value if qenex.has(name) else False
    if not isinstance(value, bool):
        raise qenex.at(name).wrong("must be true or false")
    return value


def _osaka_time(config: Field) -> int | None:
    if not config.has(OSAKA) or config.at(OSAKA).value is None:
        return None
    return config.at(OSAKA).uint(0, UINT64_MAX)


def _times(field: Field) -> ConsensusTimes:
    field.keys(required=set(), optional=set(_TIMES))
    times = ConsensusTimes(
        **{
            _TIMES[key]: each.uint(0 if key == "deltaMs" else 1, TIMEOUT_MS_MAX)
            for key, each in field.members()
        }
    )
    if times.timeout_max_ms < max(times.timeout_propose_ms, times.timeout_vote_ms):
        raise field.at("maxMs").wrong("must not be below proposeMs and voteMs")
    return times


def _check_forks(config: Field) -> None:
    optional = {*_SILENT_FORKS, "terminalTotalDifficultyPassed", "blobSchedule"}
    for name in _LATER_FORKS:
        if config.has(name) and config.at(name).value is not None:
            raise config.at(name).wrong("this version ends at Osaka; leave the key out")
    config.keys(required={"chainId"}, optional={*FORKS, *optional, OSAKA, *_LATER_FORKS})
    for name in (*FORKS, *_SILENT_FORKS):
        if name in FORKS and not config.has(name):
            raise config.at(name).wrong("missing; every fork up to Prague must be active at 0")
        if config.has(name) and config.at(name).uint() != 0:
            raise config.at(name).wrong(
                f"must be 0: every fork up to Prague is active from the first block, "
                f"found {config.at(name).shown}"
            )
    passed = "terminalTotalDifficultyPassed"
    if config.has(passed) and config.at(passed).value is not True:
        raise config.at(passed).wrong("must be true")
    schedules = (BLOB_SCHEDULE, BLOB_SCHEDULE_OSAKA)
    if config.has("blobSchedule") and config.at("blobSchedule").value not in schedules:
        raise config.at("blobSchedule").wrong(
            "must hold Ethereum's values for cancun and prague, and perhaps osaka"
        )


def _alloc(field: Field) -> list[tuple[Address, GenesisAccount]]:
    rows, seen = [], set()
    for key, each in field.members():
        address = Field(each.path, key).address()
        if address in seen:
            raise each.wrong("this account stands twice in alloc")
        seen.add(address)
        rows.append((address, _account(each)))
    return rows


def _account_of(key: str, value: Any) -> tuple[Address, GenesisAccount]:
    place = Field("alloc", {}).at(key).path
    return Field(place, key).address(), _account(Field(place, value))


def _account(field: Field) -> GenesisAccount:
    field.keys(required=set(), optional={"balance", "nonce", "code", "storage"})
    storage: dict[int, int] = {}
    if field.has("storage"):
        for key, each in field.at("storage").members():
            slot, value = _word(Field(each.path, key)), _word(each)
            if slot in storage:
                raise each.wrong("this slot stands twice in storage")
            storage[slot] = value
    return GenesisAccount(
        balance=Wei(field.at("balance").uint() if field.has("balance") else 0),
        nonce=Nonce(field.at("nonce").uint(0, UINT64_MAX - 1) if field.has("nonce") else 0),
        code=field.at("code").raw() if field.has("code") else b"",
        storage={slot: value for slot, value in storage.items() if value} or NO_SLOTS,
    )


def _word(field: Field) -> int:
    """Storage slots and values are hex in geth's document, up to 32 bytes."""
    if not field.text().startswith("0x"):
        raise field.wrong(f"must be a 0x hex word, found {field.shown}")
    return field.uint()


def _validators(field: Field) -> ValidatorSet:
    rows = field.items()
    if not 1 <= len(rows) <= VALIDATORS_MAX:
        raise field.wrong(f"must have 1 to {VALIDATORS_MAX} validators, found {len(rows)}")
    found: dict[Address, Validator] = {}
    for row in rows:
        row.keys(required={"address"}, optional={"power", "pqKeyHash"})
        address = row.at("address").address()
        if address == ZERO_ADDRESS or address in found:
            raise row.at("address").wrong("must not be zero, nor stand twice")
        power = row.at("power").uint(1, POWER_MAX) if row.has("power") else 1
        key_hash = row.at("pqKeyHash").raw(HASH_BYTES) if row.has("pqKeyHash") else bytes(32)
        found[address] = Validator(address, Power(power), Hash32(key_hash))
    return ValidatorSet.of(found.values())


def _nodes(qenex: Field, validators: ValidatorSet) -> tuple[NodeEntry, ...]:
    rows = qenex.at("nodes").items() if qenex.has("nodes") else []
    if len(rows) > NODES_MAX:
        raise qenex.at("nodes").wrong(f"must have at most {NODES_MAX} nodes, found {len(rows)}")
    nodes: list[NodeEntry] = []
    for row in rows:
        node = _node(row)
        if any(node.peer_id == each.peer_id for each in nodes):
            raise row.at("peerId").wrong("this peer stands twice in nodes")
        if node.validator is not None:
            if node.validator not in validators:
                raise row.at("validator").wrong("is not among qenex.validators")
            if any(node.validator == each.validator for each in nodes):
                raise row.at("validator").wrong("has another node already")
        nodes.append(node)
    return tuple(nodes)


def _node(row: Field) -> NodeEntry:
    row.keys(required={"peerId"}, optional={"addresses", "validator", "role"})
    addresses = row.at("addresses").items() if row.has("addresses") else []
    if len(addresses) > NODE_ADDRESSES_MAX:
        raise row.at("addresses").wrong(f"must have at most {NODE_ADDRESSES_MAX} addresses")
    for place, check in (
        (row.at("peerId"), check_peer_id),
        *((each, check_multiaddr) for each in addresses),
    ):
        try:
            check(place.text())
        except ConfigError as error:
            raise place.wrong(error.message) from None
    validator = row.at("validator").address() if row.has("validator") else None
    role = Role.OBSERVER if validator is None else Role.VALIDATOR
    if row.has("role") and row.at("role").text() != role:
        if row.at("role").value not in list(Role):
            raise row.at("role").wrong(f"must be one of {', '.join(Role)}")
        raise row.at("role").wrong(f"must be {role}: a node is a validator if it names its address")
    return NodeEntry(
        row.at("peerId").text(), tuple(each.text() for each in addresses), validator, role
    )


def _add_predeploys(
    field: Field,
    alloc: dict[Address, GenesisAccount],
    registry: Address,
    validators: ValidatorSet,
) -> None:
    alloc.setdefault(HISTORY_ADDRESS, history_account())
    alloc.setdefault(EVIDENCE_VERIFIER, evidence_account())
    found = alloc.setdefault(registry, registry_account(validators))
    place = f"{field.path}.0x{registry.hex()}"
    if not found.code:
        raise ConfigError(f"{place}.code: missing; the validator registry stands here", path=place)
    is_ours = found.code == artifact(REGISTRY_CONTRACT).deployed_bytecode
    governance = governance_of(REGISTRY_CONTRACT, found)
    if is_ours and dict(found.storage) != registry_storage(validators, governance):
        raise ConfigError(f"{place}.storage: holds other validators than qenex", path=place)


def _add_node_registry(
    field: Field,
    alloc: dict[Address, GenesisAccount],
    registry: Address,
    nodes: tuple[NodeEntry, ...],
) -> None:
    found = alloc.setdefault(NODE_REGISTRY, node_registry_account(nodes, registry))
    place = f"{field.path}.0x{NODE_REGISTRY.hex()}"
    if not found.code:
        raise ConfigError(f"{place}.code: missing; the node registry stands here", path=place)
    is_ours = found.code == artifact(NODES_CONTRACT).deployed_bytecode
    governance = governance_of(NODES_CONTRACT, found)
    if is_ours and dict(found.storage) != node_registry_storage(nodes, registry, governance):
        raise ConfigError(
            f"{place}.storage: holds other nodes than qenex; "
            "leave this account out to have it written from qenex.nodes",
            path=place,
        )
