"""The modexp precompile against Python's pow and the tables of EIP-2565."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from primitives.types import Address, Gas
from tests.vm.support import ALICE, ENGINE, context, world
from vm.engine import Call, CallResult
from vm.pyevm.modexp import modexp_gas

MODEXP = Address(bytes(19) + b"\x05")
number = st.binary(max_size=40)


def run(data: bytes, gas: int = 5_000_000) -> CallResult:
    return ENGINE.call(world(), context(), Call(ALICE, MODEXP, data, gas=Gas(gas)))


def word(value: int) -> bytes:
    return value.to_bytes(32, "big")


def packed(base: bytes, exponent: bytes, modulus: bytes) -> bytes:
    return b"".join((*(word(len(x)) for x in (base, exponent, modulus)), base, exponent, modulus))


@given(base=number, exponent=number, modulus=number)
def test_the_result_is_the_power(base: bytes, exponent: bytes, modulus: bytes) -> None:
    """Any operands, empty ones among them; a zero modulus gives zeros (EIP-198)."""
    b, e, m = (int.from_bytes(x, "big") for x in (base, exponent, modulus))
    expected = pow(b, e, m) if m else 0
    result = run(packed(base, exponent, modulus))
    assert result.success
    assert result.output == expected.to_bytes(len(modulus), "big")


def test_zero_to_the_power_of_zero_is_one() -> None:
    """py-evm answers 0 when the base is empty."""
    assert run(packed(b"", b"", b"\x05")).output == b"\1"
    assert run(packed(b"", b"\0", b"\x05")).output == b"\1"
    assert run(packed(b"", b"\2", b"\x05")).output == b"\0"


def test_missing_data_is_zeros() -> None:
    """EIP-198: calldata is read as if zeros followed."""
    assert run(b"").output == b""
    assert run(word(1) + word(1) + word(2) + b"\3\2").output == b"\0\0"
    assert run(word(1) + word(1) + word(1) + b"\3\2\7").output == b"\2"


@pytest.mark.parametrize(
    ("lengths", "head", "gas"),
    [
        ((64, 1, 64), 2, 200),
        ((64, 3, 64), 65_537, 341),
        ((128, 1, 128), 2, 200),
        ((128, 3, 128), 65_537, 1_365),
        ((256, 3, 256), 65_537, 5_461),
        ((64, 64, 64), 2**255, 21 * 511 + 170),
        ((0, 0, 0), 0, 200),
        ((2**60 + 1, 1, 1), 2, (2**57 + 1) ** 2 // 3),
    ],
)
def test_the_price_is_that_of_eip_2565(lengths: tuple[int, int, int], head: int, gas: int) -> None:
    """Values of the EIP's table, and exact integers where floating point would round."""
    assert modexp_gas(*lengths, head) == gas


def test_absurd_lengths_run_out_of_gas_and_not_of_memory() -> None:
    """The price is taken before anything of that size is made."""
    for lengths in ((2**255, 1, 1), (1, 2**255, 1), (1, 1, 2**255), (2**255,) * 3):
        result = run(b"".join(word(each) for each in lengths) + b"\xff" * 32, gas=100_000)
        assert not result.success
        assert result.gas_used == 100_000
    assert run(word(0) + word(2**255) + word(0)).output == b""
