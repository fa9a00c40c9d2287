"""A raw transaction decodes to what eth-account signed, or is refused with its typed error."""

from collections import Counter
from typing import Any

import pytest
import rlp  # type: ignore[import-untyped]  # the package has no annotations
from eth_account import Account
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from hexbytes import HexBytes
from hypothesis import given, settings
from hypothesis import strategies as st

from primitives import codec
from primitives.crypto.keccak import keccak
from primitives.crypto.secp256k1 import HALF_ORDER, ORDER, PrivateKey
from primitives.errors import (
    BadSignature,
    EmptyAuthorizations,
    InvalidTransaction,
    Malformed,
    NonceTooHigh,
    OversizedTransaction,
    UnsupportedType,
)
from primitives.params import TRANSACTION_BYTES_MAX
from primitives.transaction import (
    PUBLIC,
    PUBLIC_TRANSACTION_BYTES_MAX,
    Authorization,
    Transaction,
    authority,
    decode_transaction,
    decode_transactions,
)
from primitives.types import Address, Wei
from tests.primitives.samples import (
    ACCESS_FIELDS,
    CHAIN_ID,
    CREATE_FIELDS,
    DYNAMIC_FIELDS,
    KEY,
    LEGACY_FIELDS,
    SENDER,
    SET_CODE_FIELDS,
    TO,
    authorization,
    one_of_each,
    sign,
)
from tests.vectors import from_hex, load_cases, vectors

RAWS = one_of_each()
TO_BYTES = bytes.fromhex(TO[2:])


def mutate(raw: bytes, changes: dict[int, Any]) -> bytes:
    """Encode `raw` again with other fields; the signature then belongs to nobody we know."""
    kind = raw[:1] if raw[0] < 0x80 else b""
    fields = codec.decode_list(raw[len(kind) :])
    for index, value in changes.items():
        fields[index] = value
    return kind + codec.encode(fields)


@pytest.mark.parametrize("name", RAWS)
def test_sender_hash_and_raw(name: str) -> None:
    """Sender and hash agree with eth-account for every type."""
    raw = RAWS[name]
    transaction = decode_transaction(raw)
    assert transaction.raw == raw
    assert transaction.sender == SENDER
    assert Account.recover_transaction(raw) == "0x9d8A62f656a8d1615C1294fd71e9CFb3E4855A4F"


def test_fields_of_each_type() -> None:
    """Every field lands where it belongs."""
    legacy = decode_transaction(RAWS["legacy"])
    assert (legacy.type, legacy.chain_id, legacy.nonce, legacy.gas) == (0, CHAIN_ID, 1, 21_000)
    assert legacy.max_fee_per_gas == legacy.max_priority_fee_per_gas == 5_000
    assert (legacy.to, legacy.value, legacy.data) == (TO_BYTES, 7, b"abc")
    assert decode_transaction(RAWS["unprotected"]).chain_id is None

    access = decode_transaction(RAWS["access_list"])
    assert (access.type, access.chain_id, access.max_priority_fee_per_gas) == (1, CHAIN_ID, 5_000)
    keys = tuple(int.from_bytes(bytes([n]) * 32, "big") for n in (1, 2))
    assert access.access_list == ((TO_BYTES, keys), (b"\x22" * 20, ()))

    dynamic = decode_transaction(RAWS["dynamic_fee"])
    assert (dynamic.max_fee_per_gas, dynamic.max_priority_fee_per_gas) == (9_000, 2_000)
    assert dynamic.effective_gas_price(Wei(1_000)) == 3_000
    assert dynamic.effective_gas_price(Wei(8_000)) == 9_000
    assert decode_transaction(RAWS["create"]).to is None

    set_code = decode_transaction(RAWS["set_code"])
    assert [each.nonce for each in set_code.authorizations] == [3, 4]
    assert [each.chain_id for each in set_code.authorizations] == [CHAIN_ID, 0]
    assert [authority(each) for each in set_code.authorizations] == [SENDER, SENDER]


@settings(max_examples=40)
@given(
    nonce=st.integers(0, 2**64 - 2),
    fees=st.tuples(st.integers(0, 2**256 - 1), st.integers(0, 2**256 - 1)),
    gas=st.integers(0, 2**64 - 1),
    value=st.integers(0, 2**256 - 1),
    data=st.binary(max_size=300),
    key=st.binary(min_size=32, max_size=32).filter(lambda k: 0 < int.from_bytes(k) < ORDER),
    chain_id=st.integers(1, 2**64),
)
def test_round_trip_of_what_eth_account_signs(
    nonce: int, fees: tuple[int, int], gas: int, value: int, data: bytes, key: bytes, chain_id: int
) -> None:
    """Any field values survive; sender and hash are eth-account's."""
    fields = {
        "type": 2,
        "chainId": chain_id,
        "nonce": nonce,
        "maxFeePerGas": fees[0],
        "maxPriorityFeePerGas": fees[1],
        "gas": gas,
        "to": TO,
        "value": value,
        "data": data,
    }
    signed = Account.sign_transaction(fields, key)
    found = decode_transaction(bytes(signed.raw_transaction))
    assert found.hash == bytes(signed.hash)
    assert found.sender == PrivateKey(key).address
    assert (found.chain_id, found.nonce, found.gas) == (chain_id, nonce, gas)
    assert (found.max_fee_per_gas, found.max_priority_fee_per_gas) == fees
    assert (found.value, found.data) == (value, data)


@pytest.mark.parametrize("chain_id", [1, 109, 110, 2**32, 2**60])
def test_protected_legacy(chain_id: int) -> None:
    """EIP-155: the chain id is read from v and is part of what was signed."""
    raw = sign(LEGACY_FIELDS | {"chainId": chain_id})
    found = decode_transaction(raw)
    assert (found.chain_id, found.sender) == (chain_id, SENDER)
    other = mutate(raw, {6: codec.uint(35 + 2 * (chain_id + 1) + found.y_parity)})
    assert _sender_or_none(other) != SENDER


def _sender_or_none(raw: bytes) -> Address | None:
    try:
        return decode_transaction(raw).sender
    except BadSignature:
        return None


@settings(max_examples=300)
@given(st.sampled_from(sorted(RAWS)), st.data())
def test_flipped_bytes_are_refused_or_mean_something_else(name: str, data: st.DataObject) -> None:
    """A changed byte gives a typed error, or a canonical transaction that says something else.

    Planted bugs: no check of leading zeros; no low-s rule; ignoring trailing bytes.
    """
    raw = bytearray(RAWS[name])
    index = data.draw(st.integers(0, len(raw) - 1))
    raw[index] ^= data.draw(st.integers(1, 255))
    try:
        found = decode_transaction(bytes(raw))
    except InvalidTransaction:
        return
    assert found.hash != decode_transaction(RAWS[name]).hash
    assert found.sender != SENDER
    body = bytes(raw) if found.type == 0 else bytes(raw[1:])
    assert rlp.encode(rlp.decode(body, strict=True)) == body


@given(
    st.binary(max_size=200)
    | st.binary(max_size=80).map(lambda tail: b"\x02\xf8" + tail)
    | st.lists(st.binary(max_size=33), max_size=14).map(lambda each: b"\x04" + codec.encode(each))
)
def test_garbage_is_refused(raw: bytes) -> None:
    """Bytes that nobody signed raise InvalidTransaction and nothing else."""
    with pytest.raises(InvalidTransaction):
        decode_transaction(raw)


@pytest.mark.parametrize("name", RAWS)
def test_truncated_and_longer_bytes_are_refused(name: str) -> None:
    """Every proper prefix and every extension of a transaction is refused."""
    raw = RAWS[name]
    for length in range(len(raw)):
        with pytest.raises(InvalidTransaction):
            decode_transaction(raw[:length])
    for tail in (b"\x00", b"\x80", b"\xc0"):
        with pytest.raises(Malformed, match="more than one value"):
            decode_transaction(raw + tail)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({1: b"\x00\x01"}, Malformed, "leading zero"),
        ({1: b"\x00"}, Malformed, "leading zero"),
        ({1: b"\x01" * 9}, Malformed, "too long for uint64"),
        ({1: b"\xff" * 8}, NonceTooHigh, "nonce has max value"),
        ({2: b"\x01" * 33}, Malformed, "too long for uint256"),
        ({3: b"\x01" * 33}, Malformed, "too long for uint256"),
        ({4: b"\x01" * 9}, Malformed, "too long for uint64"),
        ({5: b"\x01" * 19}, Malformed, "20 bytes"),
        ({5: []}, Malformed, "expected input string"),
        ({6: b"\x01" * 33}, Malformed, "too long for uint256"),
        ({7: [b"a"]}, Malformed, "expected input string"),
        ({8: b""}, Malformed, "expected input list"),
        ({8: [b""]}, Malformed, "expected input list"),
        ({8: [[TO_BYTES]]}, Malformed, "access list entry"),
        ({8: [[b"", []]]}, Malformed, "20 bytes"),
        ({8: [[TO_BYTES, [b"\x01" * 31]]]}, Malformed, "32 bytes"),
        ({8: [[TO_BYTES, b""]]}, Malformed, "expected input list"),
        ({9: b"\x02"}, BadSignature, "v, r, s"),
        ({9: b"\x00"}, Malformed, "leading zero"),
        ({10: b""}, BadSignature, "v, r, s"),
        ({11: b""}, BadSignature, "v, r, s"),
        ({10: codec.uint(ORDER)}, BadSignature, "v, r, s"),
        ({11: codec.uint(HALF_ORDER + 1)}, BadSignature, "v, r, s"),
        ({10: b"\x01" * 33}, Malformed, "too long for uint256"),
        ({10: codec.uint(5)}, BadSignature, "no public key"),
        ({0: b"\x01" * 33}, Malformed, "too long for uint256"),
    ],
)
def test_each_bad_field_has_its_error(
    changes: dict[int, Any], error: type[InvalidTransaction], words: str
) -> None:
    """A field out of its range or form is refused with the error and words for it."""
    with pytest.raises(error, match=words):
        decode_transaction(mutate(RAWS["dynamic_fee"], changes))


def test_high_s_is_refused_although_it_recovers() -> None:
    """EIP-2: the other signature of the same digest is not accepted."""
    found = decode_transaction(RAWS["dynamic_fee"])
    flipped = {9: codec.uint(1 - found.y_parity), 11: codec.uint(ORDER - found.s)}
    with pytest.raises(BadSignature, match="v, r, s"):
        decode_transaction(mutate(RAWS["dynamic_fee"], flipped))


@pytest.mark.parametrize("v", [0, 1, 26, 29, 34])
def test_legacy_v_out_of_range(v: int) -> None:
    """Only 27, 28 and 35 upwards are values of v."""
    with pytest.raises(BadSignature):
        decode_transaction(mutate(RAWS["unprotected"], {6: codec.uint(v)}))


def test_wrong_number_of_fields() -> None:
    """A field too few or too many is refused."""
    for name, raw in RAWS.items():
        kind = raw[:1] if raw[0] < 0x80 else b""
        fields = codec.decode_list(raw[len(kind) :])
        for wrong, words in ((fields[:-1], "too few"), ([*fields, b""], "too many")):
            with pytest.raises(Malformed, match=words):
                decode_transaction(kind + codec.encode(wrong))
        assert name in RAWS


def test_size_limit() -> None:
    """A transaction of exactly the limit passes; one byte more is oversized data."""
    room = TRANSACTION_BYTES_MAX - len(sign(CREATE_FIELDS | {"data": b"x" * 100_000})) + 100_000
    raw = sign(CREATE_FIELDS | {"data": b"x" * room})
    assert len(raw) == TRANSACTION_BYTES_MAX
    assert decode_transaction(raw).sender == SENDER
    with pytest.raises(OversizedTransaction, match="oversized data") as caught:
        decode_transaction(sign(CREATE_FIELDS | {"data": b"x" * (room + 1)}))
    assert caught.value.facts["size_bytes"] == TRANSACTION_BYTES_MAX + 1


@pytest.mark.parametrize("kind", [0, 5, 0x7F])
def test_unknown_types(kind: int) -> None:
    """A type byte that stands for nothing is not supported."""
    with pytest.raises(UnsupportedType, match="transaction type not supported"):
        decode_transaction(bytes([kind]) + RAWS["dynamic_fee"][1:])


def test_blob_transactions_are_refused_clearly() -> None:
    """Type 3 is refused with words that name blobs, whatever follows."""
    for tail in (RAWS["dynamic_fee"][1:], b""):
        with pytest.raises(UnsupportedType, match=r"not supported.*blobs \(EIP-4844\)"):
            decode_transaction(b"\x03" + tail)


def blob_transaction(changes: dict[int, Any] | None = None) -> bytes:
    """A signed blob transaction as it stands in a block of a public chain."""
    zero = b""
    items: list[Any] = [b"\x01", b"\x07", b"\x02", b"\x09", b"\x52\x08", TO_BYTES, zero, b"hi", []]
    items += [b"\x05", [b"\x01" * 32, b"\x01" + bytes(31)]]
    for index, value in (changes or {}).items():
        items[index] = value
    signature = PrivateKey(KEY).sign(keccak(b"\x03" + codec.encode(items)))
    parts = [signature[64:].lstrip(b"\0"), signature[:32], signature[32:64]]
    return b"\x03" + codec.encode([*items, *(part.lstrip(b"\0") for part in parts)])


def test_the_form_for_public_chains_takes_blobs() -> None:
    """Sender, fee and hashes; the default form still refuses the very same bytes."""
    raw = blob_transaction()
    found = decode_transaction(raw, PUBLIC)
    assert (found.type, found.sender, found.nonce, found.gas) == (3, SENDER, 7, 21_000)
    assert found.max_fee_per_blob_gas == 5
    assert found.blob_hashes == (b"\x01" * 32, b"\x01" + bytes(31))
    assert decode_transactions([raw, RAWS["legacy"]], PUBLIC)[0] == found
    with pytest.raises(UnsupportedType):
        decode_transaction(raw)
    assert isinstance(decode_transactions([raw])[0], UnsupportedType)
    for name, other in RAWS.items():
        assert decode_transaction(other, PUBLIC) == decode_transaction(other), name


@pytest.mark.parametrize(
    "changes", [{5: b""}, {10: b""}, {10: [b"\x01" * 31]}, {10: [[]]}, {9: b"\0"}, {9: []}]
)
def test_malformed_blob_fields(changes: dict[int, Any]) -> None:
    """No recipient, no list, hashes of another width, fees that are no numbers."""
    with pytest.raises(Malformed):
        decode_transaction(blob_transaction(changes), PUBLIC)


def test_the_form_for_public_chains_takes_high_s_of_legacy_transactions() -> None:
    """Frontier had it; the twin has the same sender. Typed transactions never had."""
    twin = mutate(
        RAWS["unprotected"],
        {
            6: codec.uint(27 + 28 - codec.as_uint(codec.decode_list(RAWS["unprotected"])[6])),
            8: codec.uint(ORDER - codec.as_uint(codec.decode_list(RAWS["unprotected"])[8])),
        },
    )
    assert decode_transaction(twin, PUBLIC).sender == SENDER
    found = decode_transactions([twin], PUBLIC)[0]
    assert isinstance(found, Transaction)
    assert found.s > HALF_ORDER
    with pytest.raises(BadSignature):
        decode_transaction(twin)
    typed = decode_transaction(RAWS["dynamic_fee"])
    high = mutate(RAWS["dynamic_fee"], {11: codec.uint(ORDER - typed.s)})
    with pytest.raises(BadSignature):
        decode_transaction(high, PUBLIC)


def test_the_form_for_public_chains_has_a_limit_too() -> None:
    """16 MiB, and not a byte more."""
    with pytest.raises(OversizedTransaction):
        decode_transaction(bytes(PUBLIC_TRANSACTION_BYTES_MAX + 1), PUBLIC)


def test_set_code_needs_authorizations_and_a_recipient() -> None:
    """EIP-7702: an empty list and an empty `to` are refused."""
    raw = RAWS["set_code"]
    with pytest.raises(EmptyAuthorizations, match="empty auth list"):
        decode_transaction(mutate(raw, {9: []}))
    with pytest.raises(EmptyAuthorizations, match="cannot be used to create"):
        decode_transaction(mutate(raw, {5: b""}))


@pytest.mark.parametrize(
    "entry",
    [
        [b"\x01", TO_BYTES, b"", b"", b"\x01"],
        [b"\x01" * 33, TO_BYTES, b"", b"", b"\x01", b"\x01"],
        [b"\x01", b"", b"", b"", b"\x01", b"\x01"],
        [b"\x01", TO_BYTES, b"\x01" * 9, b"", b"\x01", b"\x01"],
        [b"\x01", TO_BYTES, b"", b"\x01\x01", b"\x01", b"\x01"],
        [b"\x01", TO_BYTES, b"", b"", b"\x01" * 33, b"\x01"],
        [b"\x01", TO_BYTES, b"", b"", b"\x01", b"\x00"],
        b"\x01",
    ],
)
def test_authorization_widths(entry: Any) -> None:
    """EIP-7702 gives each part of an authorization a width; the transaction is refused else."""
    with pytest.raises(Malformed):
        decode_transaction(mutate(RAWS["set_code"], {9: [entry]}))


def test_wide_authorization_values_decode_and_belong_to_nobody() -> None:
    """Values within the widths decode even when no signature can have them."""
    wide = [b"\xff" * 32, TO_BYTES, b"\xff" * 8, b"\xff", b"\xff" * 32, b"\xff" * 32]
    raw = mutate(RAWS["set_code"], {9: [wide]})
    with pytest.raises(BadSignature):  # so chosen that only the outer signature fails
        decode_transaction(mutate(raw, {11: b""}))
    found = Authorization(2**256 - 1, Address(TO_BYTES), 2**64 - 1, 255, 2**256 - 1, 2**256 - 1)
    assert authority(found) is None


def test_authority_rules() -> None:
    """The authority is who signed; high s, zero r, zero s and parity 2 belong to nobody."""
    good = decode_transaction(RAWS["set_code"]).authorizations[0]
    fields = (good.chain_id, good.address, good.nonce)
    assert authority(good) == SENDER
    assert authority(Authorization(*fields, 2, good.r, good.s)) is None
    assert authority(Authorization(*fields, good.y_parity, 0, good.s)) is None
    assert authority(Authorization(*fields, good.y_parity, good.r, 0)) is None
    assert authority(Authorization(*fields, 1 - good.y_parity, good.r, ORDER - good.s)) is None
    assert authority(Authorization(*fields, good.y_parity, 5, good.s)) is None
    moved = Authorization(good.chain_id, good.address, good.nonce + 1, *_signature(good))
    assert authority(moved) != SENDER


def _signature(each: Authorization) -> tuple[int, int, int]:
    return each.y_parity, each.r, each.s


def test_batches_answer_by_index() -> None:
    """A batch gives at each index what the single decoder gives; bad ones spoil nothing."""
    bad_sender = mutate(RAWS["dynamic_fee"], {10: codec.uint(5)})
    raws = [RAWS["legacy"], b"\x03", bad_sender, RAWS["set_code"], b"", RAWS["dynamic_fee"]] * 20
    answers = decode_transactions(raws)
    assert len(answers) == len(raws)
    for raw, answer in zip(raws, answers, strict=True):
        if isinstance(answer, Transaction):
            assert answer == decode_transaction(raw)
        else:
            with pytest.raises(type(answer), match=answer.message[:20]):
                decode_transaction(raw)
    assert decode_transactions([]) == []


def test_agreement_on_typed_hashes() -> None:
    """eth-account reads our samples back to the same fields (it is the independent decoder)."""
    from_account = TypedTransaction.from_bytes(HexBytes(RAWS["set_code"])).as_dict()
    found = decode_transaction(RAWS["set_code"])
    assert from_account["nonce"] == found.nonce
    assert len(from_account["authorizationList"]) == len(found.authorizations)


VM_RULES = {
    "TransactionException.INVALID_CHAINID",
    "TransactionException.INTRINSIC_GAS_TOO_LOW",
    "TransactionException.INITCODE_SIZE_EXCEEDED",
    "TransactionException.GASLIMIT_PRICE_PRODUCT_OVERFLOW",
    "TransactionException.PRIORITY_GREATER_THAN_MAX_FEE_PER_GAS_2",
}
"""Rules of the chain or the state, not of the bytes: `vm.validate` owns them, so they decode."""

FORKS = ("Prague", "Cancun", "Shanghai", "London")


def test_official_vectors() -> None:
    """Every official transaction is accepted or refused as its newest fork says.

    Skipped: nothing. Cases that break a rule of the chain (VM_RULES) may decode here; a chain id
    other than 1 is among them, because the vectors are those of Ethereum's main network.
    """
    seen: Counter[str] = Counter()
    for path in sorted(vectors("ethereum-tests", "TransactionTests").rglob("*.json")):
        for name, case in load_cases(path).items():
            result = next(case["result"][fork] for fork in FORKS if fork in case["result"])
            seen[_check_official(name, from_hex(case["txbytes"]), result)] += 1
    assert seen["accepted"] >= 50
    assert seen["refused"] >= 100


def _check_official(name: str, raw: bytes, result: dict[str, str]) -> str:
    try:
        found = decode_transaction(raw)
    except InvalidTransaction:
        assert "exception" in result, name
        return "refused"
    if "exception" in result:
        assert result["exception"] in VM_RULES, name
        return "vm rule"
    assert found.hash == from_hex(result["hash"]), name
    assert found.sender == from_hex(result["sender"]), name
    return "accepted"


def test_fields_cover_all_samples() -> None:
    """The samples sign what they say, so that the tests above mean something."""
    for fields in (LEGACY_FIELDS, ACCESS_FIELDS, DYNAMIC_FIELDS):
        assert decode_transaction(sign(fields, KEY)).sender == SENDER
    with_one = SET_CODE_FIELDS | {"authorizationList": [authorization()]}
    assert decode_transaction(sign(with_one)).type == 4
