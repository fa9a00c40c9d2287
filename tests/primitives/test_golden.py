"""Bytes on wire and disk stay what they are: each sample must equal its file in tests/golden."""

from pathlib import Path

import pytest

from primitives.block import Block, encode_block, encode_header
from primitives.receipt import encode_receipt
from primitives.transaction import decode_transaction
from primitives.types import Address, Hash32, Power
from primitives.validators import Validator, ValidatorSet, encode_validator_set
from tests.primitives.samples import one_of_each, sample_header, sample_receipt

GOLDEN = Path(__file__).parent.parent / "golden" / "primitives"


def current() -> dict[str, bytes]:
    """Return the bytes of every sample as the code makes them now."""
    raws = one_of_each()
    found = {f"transaction_{name}": raw for name, raw in raws.items()}
    transactions = tuple(map(decode_transaction, raws.values()))
    found["header"] = encode_header(sample_header())
    found["header_hash"] = sample_header().hash
    found["block"] = encode_block(Block.of(sample_header(), transactions))
    found["receipt"] = encode_receipt(sample_receipt())
    members = [
        Validator(Address(bytes([n]) * 20), Power(n), Hash32(bytes([n]) * 32)) for n in (3, 1, 2)
    ]
    found["validator_set"] = encode_validator_set(ValidatorSet.of(members))
    found["validator_set_hash"] = ValidatorSet.of(members).hash
    return found


@pytest.mark.parametrize("name", sorted(current()))
def test_bytes_are_pinned(name: str) -> None:
    """The encoding of this sample has not changed."""
    assert current()[name].hex() == (GOLDEN / f"{name}.hex").read_text().strip()


def test_no_golden_file_is_forgotten() -> None:
    """Every file in the folder belongs to a sample."""
    assert {each.stem for each in GOLDEN.glob("*.hex")} == set(current())
