"""Sample values for the tests: signed transactions by eth-account, and hypothesis strategies."""

from typing import Any

from eth_account import Account
from hypothesis import strategies as st

from primitives.block import Header
from primitives.receipt import Log, Receipt, bloom_of
from primitives.types import Address, Gas, Hash32, Height, Power, Wei
from primitives.validators import POWER_DEFAULT, Validator

CHAIN_ID = 1337
KEY = bytes.fromhex("4646464646464646464646464646464646464646464646464646464646464646")
SENDER = Address(bytes.fromhex("9d8A62f656a8d1615C1294fd71e9CFb3E4855A4F"))
TO = "0x" + "11" * 20
ACCESS = [
    {"address": TO, "storageKeys": ["0x" + "01" * 32, "0x" + "02" * 32]},
    {"address": "0x" + "22" * 20, "storageKeys": []},
]

LEGACY_FIELDS: dict[str, Any] = {
    "nonce": 1,
    "gasPrice": 5_000,
    "gas": 21_000,
    "to": TO,
    "value": 7,
    "data": b"abc",
    "chainId": CHAIN_ID,
}
ACCESS_FIELDS: dict[str, Any] = LEGACY_FIELDS | {"type": 1, "accessList": ACCESS}
DYNAMIC_FIELDS: dict[str, Any] = {
    "type": 2,
    "nonce": 3,
    "maxFeePerGas": 9_000,
    "maxPriorityFeePerGas": 2_000,
    "gas": 100_000,
    "to": TO,
    "value": 10**18,
    "data": bytes(range(200)),
    "chainId": CHAIN_ID,
    "accessList": ACCESS,
}
SET_CODE_FIELDS: dict[str, Any] = DYNAMIC_FIELDS | {"type": 4}
CREATE_FIELDS: dict[str, Any] = DYNAMIC_FIELDS | {"to": b"", "accessList": []}


def sign(fields: dict[str, Any], key: bytes = KEY) -> bytes:
    """Return the raw transaction that eth-account signs."""
    return bytes(Account.sign_transaction(fields, key).raw_transaction)


def authorization(nonce: int = 3, chain_id: int = CHAIN_ID) -> Any:
    """Return an authorization for TO, signed by KEY."""
    fields = {"chainId": chain_id, "address": TO, "nonce": nonce}
    return Account.from_key(KEY).sign_authorization(fields)


def one_of_each() -> dict[str, bytes]:
    """Return a raw transaction of each type that the chain takes."""
    unprotected = {name: value for name, value in LEGACY_FIELDS.items() if name != "chainId"}
    return {
        "legacy": sign(LEGACY_FIELDS),
        "unprotected": sign(unprotected),
        "access_list": sign(ACCESS_FIELDS),
        "dynamic_fee": sign(DYNAMIC_FIELDS),
        "create": sign(CREATE_FIELDS),
        "set_code": sign(
            SET_CODE_FIELDS | {"authorizationList": [authorization(), authorization(4, 0)]}
        ),
    }


addresses = st.binary(min_size=20, max_size=20).map(Address)
hashes = st.binary(min_size=32, max_size=32).map(Hash32)
uints64 = st.integers(0, 2**64 - 1)
uints256 = st.integers(0, 2**256 - 1)

headers = st.builds(
    Header,
    parent_hash=hashes,
    fee_recipient=addresses,
    state_root=hashes,
    transactions_root=hashes,
    receipts_root=hashes,
    logs_bloom=st.binary(min_size=256, max_size=256),
    height=uints64.map(Height),
    gas_limit=uints64.map(Gas),
    gas_used=uints64.map(Gas),
    timestamp=uints64,
    extra_data=st.binary(max_size=64),
    mix_hash=hashes,
    base_fee_per_gas=uints256.map(Wei),
    difficulty=uints256,
    nonce=st.binary(min_size=8, max_size=8),
    blob_gas_used=uints64.map(Gas),
)

logs = st.builds(Log, addresses, st.lists(hashes, max_size=4).map(tuple), st.binary(max_size=80))


@st.composite
def receipts(draw: st.DrawFn) -> Receipt:
    """A receipt with the bloom of its logs."""
    found = tuple(draw(st.lists(logs, max_size=4)))
    return Receipt(
        type=draw(st.sampled_from((0, 1, 2, 4))),
        status=draw(st.integers(0, 1)),
        cumulative_gas_used=Gas(draw(uints64)),
        logs=found,
        bloom=bloom_of(found),
    )


validators = st.builds(
    Validator, addresses, st.integers(1, 1000).map(Power) | st.just(POWER_DEFAULT), hashes
)


def sample_header() -> Header:
    """Return a header in which every field differs from its neighbours."""
    return Header(
        parent_hash=Hash32(b"\x01" * 32),
        fee_recipient=Address(b"\x02" * 20),
        state_root=Hash32(b"\x03" * 32),
        transactions_root=Hash32(b"\x04" * 32),
        receipts_root=Hash32(b"\x05" * 32),
        logs_bloom=b"\x06" * 256,
        height=Height(7),
        gas_limit=Gas(60_000_000),
        gas_used=Gas(21_000),
        timestamp=1_800_000_000,
        extra_data=b"\x08" * 32,
        mix_hash=Hash32(b"\x09" * 32),
        base_fee_per_gas=Wei(1_000_000_000),
    )


def sample_receipt() -> Receipt:
    """Return a type 2 receipt with one log."""
    log = Log(Address(b"\x0a" * 20), (Hash32(b"\x0b" * 32), Hash32(b"\x0c" * 32)), b"data")
    return Receipt(2, 1, Gas(42_000), (log,), bloom_of((log,)))
