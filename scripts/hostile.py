"""Find what takes longest for its gas: `python -m scripts.hostile [--json]`.

Runs code that repeats one opcode, or one precompile with its dearest input, until its gas is gone,
and shows the seconds that a million gas of it takes on the tuned engine (and, with `--plain`, on
py-evm's own loop), the worst first, and the gas that it really burned. What a block may take at
most is its gas limit times the worst figure. A row is marked WRONG when it does not do what its
name says: the code ended before its gas, or the precompile refuses the input when it is asked
directly. Operands stand on the stack before the loop, so that no compiler knows them.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Final

from eth.vm import opcode_values as op

from primitives.account import GenesisAccount
from primitives.crypto.keccak import keccak
from primitives.types import ZERO_HASH, Address, ChainId, Gas, Hash32, Height, Nonce, Wei
from scripts.differ_world import BN_G2, P256_INPUT
from vm.engine import OUT_OF_GAS, BlockContext, Call, CallResult, Engine
from vm.forks import Fork, Rules
from vm.pyevm.bls import IS_QUICK
from vm.pyevm.engine import make_engine
from vm.state.memory import MemoryState

HERE: Final = Address(b"\xcc" * 20)
CALLER: Final = Address(b"\x01" * 20)
GAS: Final = Gas(3_000_000)
CODE_BYTES: Final = 24_000
REPEATS: Final = 2
MAX: Final = 2**256 - 1
PRAGUE: Final = Rules(Fork.PRAGUE)
OSAKA: Final = Rules(Fork.OSAKA)


@dataclass(frozen=True, slots=True)
class Pattern:
    """Code to repeat; `asks` is the precompile that it calls, with which input."""

    name: str
    code: bytes
    asks: tuple[Address, bytes] | None = None
    rules: Rules = PRAGUE


@dataclass(frozen=True, slots=True)
class Row:
    """What came of a pattern: gas burned, seconds for a million of it, what is wrong with it."""

    name: str
    engine: str
    gas: int
    seconds: float
    wrong: str | None


def address_of(number: int) -> Address:
    """Return the address of a precompile."""
    return Address(number.to_bytes(20, "big"))


def push(value: int) -> bytes:
    """Return what pushes a number in the shortest way."""
    raw = value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big")
    return bytes((0x5F + len(raw),)) + raw


def looped(body: bytes, before: bytes = b"") -> bytes:
    """Return code that runs `before` once and `body`, which keeps the stack's height, for ever."""
    start = len(before)
    end = b"\x5b" + body * max(1, min(200, 2_000 // len(body)))
    return before + end + push(start) + b"\x56"


def stacked(opcode: int, *operands: int, results: int = 1) -> bytes:
    """Return code that runs an opcode on these operands, the top first, for ever."""
    count = len(operands)
    before = b"".join(push(value) for value in reversed(operands))
    body = bytes((op.DUP1 + count - 1,)) * count + bytes((opcode,)) + b"\x50" * results
    return looped(body, before)


def called(name: str, number: int, data: bytes, rules: Rules = PRAGUE) -> Pattern:
    """Return code that calls a precompile with this input, for ever."""
    body = b"\x5f\x5f" + push(len(data)) + b"\x5f" + push(number) + b"\x5a\xfa\x50"
    before = b"\x61" + len(data).to_bytes(2, "big") + b"\x61\0\0\x5f\x39"
    code = looped(body, before)
    code = code[:4] + len(code).to_bytes(2, "big") + code[6:] + data
    return Pattern(name, code, (address_of(number), data), rules)


def words(*numbers: int) -> bytes:
    """Return numbers as words."""
    return b"".join(number.to_bytes(32, "big") for number in numbers)


G1: Final = bytes.fromhex(
    "0000000000000000000000000000000017f1d3a73197d7942695638c4fa9ac0f"
    "c3688c4f9774b905a14e3a3f171bac586c55e83ff97a1aeffb3af00adb22c6bb"
    "0000000000000000000000000000000008b3f481e3aaa0f1a09e30ed741d8ae4"
    "fcf5e095d5d00af600db18cb2c04b3edd03cc744a2888ae40caa232946c5e7e1"
)
G2: Final = bytes.fromhex(
    "00000000000000000000000000000000024aa2b2f08f0a91260805272dc51051"
    "c6e47ad4fa403b02b4510b647ae3d1770bac0326a805bbefd48056c8c121bdb8"
    "0000000000000000000000000000000013e02b6052719f607dacd3a088274f65"
    "596bd0d09920b61ab5da61bbdc7f5049334cf11213945d57e5ac7d055d042b7e"
    "000000000000000000000000000000000ce5d527727d6e118cc9cdc6da2e351a"
    "adfd9baa8cbdd3a76d429a695160d12c923ac9cc3baca289e193548608b82801"
    "000000000000000000000000000000000606c4a02ea734cc32acd2b02bc28b99"
    "cb3e287e85a763af267492ab572e99ab3f370d275cec1da1aaa9075ff05f79be"
)
RECOVERED: Final = keccak(b"") + words(
    28, 0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798, 7
)
KZG: Final = (
    b"\x01"
    + bytes.fromhex("0657f37554c781402a22917dee2f75def7ab966d7b770905398eba3c444014")
    + bytes(64)
    + b"\xc0"
    + bytes(47)
    + b"\xc0"
    + bytes(47)
)
"""The point evaluation of the polynomial that is zero everywhere."""


def opcodes() -> Iterator[Pattern]:
    """Yield what repeats one opcode."""
    for name, code in (
        ("MUL", stacked(op.MUL, MAX, MAX - 1)),
        ("SDIV", stacked(op.SDIV, MAX - 1, 2**128)),
        ("SMOD", stacked(op.SMOD, MAX - 1, 2**128 - 1)),
        ("ADDMOD", stacked(op.ADDMOD, MAX, MAX - 1, 2**255 - 19)),
        ("MULMOD", stacked(op.MULMOD, MAX, MAX - 1, 2**255 - 19)),
        ("EXP of 32 bytes", stacked(op.EXP, MAX - 1, MAX)),
        ("EXP of a byte", stacked(op.EXP, MAX - 1, 255)),
        ("SIGNEXTEND", stacked(op.SIGNEXTEND, 7, MAX - 1)),
        ("SAR", stacked(op.SAR, 7, MAX - 1)),
        ("SHA3 of a word", stacked(op.SHA3, 0, 32)),
        ("SHA3 of 8 kB", stacked(op.SHA3, 0, 8_192)),
        ("SLOAD warm", stacked(op.SLOAD, 1)),
        ("SLOAD cold", looped(b"\x5a\x54\x50")),
        ("SSTORE same value", stacked(op.SSTORE, 0, 0, results=0)),
        ("SSTORE new slot", looped(b"\x60\x01\x5a\x55")),
        ("TLOAD", stacked(op.TLOAD, 1)),
        ("TSTORE", looped(b"\x5a\x5a\x5d")),
        ("BALANCE warm", stacked(op.BALANCE, 1)),
        ("BALANCE cold", looped(b"\x5a\x31\x50")),
        ("SELFBALANCE", looped(b"\x47\x50")),
        ("BLOCKHASH", stacked(op.BLOCKHASH, 9)),
        ("EXTCODEHASH cold", looped(b"\x5a\x3f\x50")),
        ("EXTCODECOPY 24 kB", stacked(op.EXTCODECOPY, 0xCC, 0, 0, 24_000, results=0)),
        ("CALLDATACOPY 8 kB", stacked(op.CALLDATACOPY, 0, 0, 8_192, results=0)),
        ("CODECOPY 24 kB", stacked(op.CODECOPY, 0, 0, 24_000, results=0)),
        ("MCOPY 8 kB", stacked(op.MCOPY, 1, 0, 8_192, results=0)),
        ("MSTORE8", stacked(op.MSTORE8, 9, 9, results=0)),
        ("LOG4 empty", stacked(op.LOG4, 0, 0, 1, 2, 3, 4, results=0)),
        ("LOG0 of 8 kB", stacked(op.LOG0, 0, 8_192, results=0)),
        ("PUSH32 POP", looped(b"\x7f" + b"\xff" * 32 + b"\x50")),
        ("JUMPDEST", b"\x5b" * CODE_BYTES + b"\x5f\x56"),
        ("JUMP", _jumps()),
        ("CALL to nobody", looped(b"\x5f\x5f\x5f\x5f\x5f\x60\x99\x5a\xf1\x50")),
        ("CALL of 24 kB to nobody", looped(b"\x5f\x5f\x61\x5d\xc0\x5f\x60\x99\x5a\xfa\x50")),
        ("CALL to itself", b"\x5b\x5f\x5f\x5f\x5f\x5f\x30\x5a\xf1\x50\x5f\x56"),
        ("CREATE empty", looped(b"\x5f\x5f\x5f\xf0\x50")),
        ("CREATE2 of 48 kB", looped(b"\x5a\x61\xc0\x00\x5f\x5f\xf5\x50")),
    ):
        yield Pattern(name, code)


def _jumps() -> bytes:
    """Return code of 4,000 blocks, each of which jumps to the next."""
    blocks = (b"\x5b\x61" + (5 * at + 5).to_bytes(2, "big") + b"\x56" for at in range(4_000))
    return b"".join(blocks) + b"\x5b\x5f\x56"


def precompiles() -> Iterator[Pattern]:
    """Yield what repeats one precompile."""
    pair = words(1, 2) + BN_G2
    modexp = words(1_024, 32, 1_024) + b"\xff" * 2_080
    wide = words(192, 32, 192) + b"\xff" * 416
    yield called("ecrecover", 1, RECOVERED)
    yield called("sha256", 2, bytes(1_024))
    yield called("ripemd160", 3, bytes(1_024))
    yield called("identity", 4, bytes(8_192))
    yield called("modexp 1024", 5, modexp)
    yield called("modexp 192", 5, wide)
    yield called("modexp 192, Osaka", 5, wide, OSAKA)
    yield called("modexp of nothing", 5, b"")
    yield called("bn254 add", 6, words(1, 2, 1, 2))
    yield called("bn254 mul", 7, words(1, 2, MAX))
    yield called("bn254 pairing", 8, pair)
    yield called("bn254 8 pairings", 8, pair * 8)
    yield called("blake2f", 9, (12).to_bytes(4, "big") + bytes(208) + b"\x01")
    yield called("blake2f, many rounds", 9, (100_000).to_bytes(4, "big") + bytes(208) + b"\x01")
    yield called("point evaluation", 0x0A, KZG)
    yield called("bls g1 add", 0x0B, G1 + G1)
    yield called("bls g1 msm", 0x0C, G1 + words(MAX))
    yield called("bls g2 add", 0x0D, G2 + G2)
    yield called("bls g2 msm", 0x0E, G2 + words(MAX))
    yield called("bls pairing", 0x0F, G1 + G2)
    yield called("bls map to g1", 0x10, words(0, 5))
    yield called("bls map to g2", 0x11, words(0, 5, 0, 7))
    yield called("p256verify, Osaka", 0x100, P256_INPUT, OSAKA)


def patterns() -> list[Pattern]:
    """Return all patterns."""
    return [*opcodes(), *precompiles()]


def _context(rules: Rules) -> BlockContext:
    return BlockContext(
        height=Height(10),
        timestamp=1_700_000_000,
        coinbase=Address(b"\xfe" * 20),
        gas_limit=Gas(100_000_000),
        base_fee=Wei(0),
        mix_hash=ZERO_HASH,
        chain_id=ChainId(1),
        block_hash=lambda height: Hash32(bytes(32)),
        rules=rules,
    )


def measure(kind: str, engine: Engine, pattern: Pattern, gas: Gas) -> Row:
    """Run a pattern with so much gas; the least seconds of some runs count."""
    state = MemoryState.of({HERE: GenesisAccount(Wei(10**18), Nonce(1), pattern.code)})
    context = _context(pattern.rules)
    best = float("inf")
    for _ in range(REPEATS):
        started = time.process_time()
        result = engine.call(state, context, Call(CALLER, HERE, gas=gas))
        best = min(best, (time.process_time() - started) / result.gas_used * 1e6)
    wrong = what_is_wrong(result, gas)
    if wrong is None and pattern.asks is not None:
        address, data = pattern.asks
        answer = engine.call(state, context, Call(CALLER, address, data, gas=Gas(50_000_000)))
        is_empty = not answer.output and data
        wrong = "refused" if answer.error or is_empty else None
    return Row(pattern.name, kind, result.gas_used, best, wrong)


def what_is_wrong(result: CallResult, gas: Gas) -> str | None:
    """Return what kept a pattern from running until its gas was gone, if anything."""
    if result.error != OUT_OF_GAS:
        return f"ended early: {result.error or 'success'}"
    return None if result.gas_used == gas else "gas left"


def main() -> None:
    """Read the command line, measure, print the worst first."""
    parser = argparse.ArgumentParser(prog="python -m scripts.hostile", description=__doc__)
    parser.add_argument("--gas", type=int, default=GAS, help="gas of each run")
    parser.add_argument("--plain", action="store_true", help="py-evm's own loop as well")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    kinds = ("tuned", "plain") if options.plain else ("tuned",)
    engines = {kind: make_engine(kind) for kind in kinds}
    rows = [
        measure(kind, engine, pattern, Gas(options.gas))
        for pattern in patterns()
        for kind, engine in engines.items()
    ]
    rows.sort(key=lambda row: -row.seconds)
    if options.json:
        print(json.dumps({"bls_wheel": IS_QUICK, "rows": list(map(asdict, rows))}, indent=2))
    else:
        print(f"seconds for a million gas; BLS12-381 wheel: {'yes' if IS_QUICK else 'no'}")
        for row in rows:
            mark = f"  WRONG: {row.wrong}" if row.wrong else ""
            print(f"{row.name:26}{row.engine:6}{row.gas:12,}{row.seconds:10.3f}{mark}")
    sys.exit(1 if any(row.wrong for row in rows) else 0)


if __name__ == "__main__":
    main()
