"""Find what takes longest for its gas: `python -m scripts.hostile [--json]`.

Runs code that repeats one opcode, or one precompile with its dearest input, and shows the seconds
that a million gas of it takes on the tuned engine (and, with `--plain`, on py-evm's own loop), the
worst first. What a block may take at most is its gas limit times the worst figure.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from typing import Any, Final

from eth.vm import opcode_values as op

from primitives.account import GenesisAccount
from primitives.types import ZERO_HASH, Address, ChainId, Gas, Hash32, Height, Nonce, Wei
from vm.engine import BlockContext, Call, Engine
from vm.pyevm.bls import IS_QUICK
from vm.pyevm.engine import make_engine
from vm.state.memory import MemoryState

HERE: Final = Address(b"\xcc" * 20)
CALLER: Final = Address(b"\x01" * 20)
GAS: Final = Gas(3_000_000)
CODE_BYTES: Final = 24_000
REPEATS: Final = 2


def push(value: int) -> bytes:
    """Return what pushes a number in the shortest way."""
    raw = value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big")
    return bytes((0x5F + len(raw),)) + raw


def looped(body: bytes, before: bytes = b"") -> bytes:
    """Return code that runs `before` once and `body`, which keeps the stack's height, for ever."""
    start = len(before)
    end = b"\x5b" + body * max(1, min(200, 2_000 // len(body)))
    return before + end + push(start) + b"\x56"


def stacked(opcode: int, operands: int, results: int, value: int) -> bytes:
    """Return code that runs an opcode on `operands` copies of a value, for ever."""
    body = push(value) * operands + bytes((opcode,)) + b"\x50" * results
    return looped(body)


def called(address: int, size: int, gas: int | None = None) -> bytes:
    """Return code that calls a precompile with `size` bytes of memory, for ever."""
    ask = b"\x5a" if gas is None else push(gas)
    body = b"\x5f\x5f" + push(size) + b"\x5f" + push(address) + ask + b"\xfa\x50"
    return looped(body, _INPUTS.get(address, b""))


def _store(words: dict[int, int]) -> bytes:
    return b"".join(push(value) + push(at) + b"\x52" for at, value in words.items())


G1: Final = {
    0: 0x17F1D3A73197D7942695638C4FA9AC0F,
    32: 0xC3688C4F9774B905A14E3A3F171BAC586C55E83FF97A1AEFFB3AF00ADB22C6BB,
    64: 0x08B3F481E3AAA0F1A09E30ED741D8AE4,
    96: 0xFCF5E095D5D00AF600DB18CB2C04B3EDD03CC744A2888AE40CAA232946C5E7E1,
}
G2: Final = {
    0: 0x024AA2B2F08F0A91260805272DC51051,
    32: 0xC6E47AD4FA403B02B4510B647AE3D1770BAC0326A805BBEFD48056C8C121BDB8,
    64: 0x13E02B6052719F607DACD3A088274F65,
    96: 0x596BD0D09920B61AB5DA61BBDC7F5049334CF11213945D57E5AC7D055D042B7E,
    128: 0x0CE5D527727D6E118CC9CDC6DA2E351A,
    160: 0xADFD9BAA8CBDD3A76D429A695160D12C923AC9CC3BACA289E193548608B82801,
    192: 0x0606C4A02EA734CC32ACD2B02BC28B99,
    224: 0xCB3E287E85A763AF267492AB572E99AB3F370D275CEC1DA1AAA9075FF05F79BE,
}
BN_G2: Final = (
    0x198E9393920D483A7260BFB731FB5D25F1AA493335A9E71297E485B7AEF312C2,
    0x1800DEEF121F1E76426A00665E5C4479674322D4F75EDADD46DEBD5CD992F6ED,
    0x090689D0585FF075EC9E99AD690C3395BC4B313370B38EF355ACDADCD122975B,
    0x12C85EA5DB8C6DEB4AAB71808DCB408FE3D1E7690C43D37B4CE6CC0166FA7DAA,
)
MAX: Final = 2**256 - 1


def _shifted(words: dict[int, int], by: int) -> dict[int, int]:
    return {at + by: value for at, value in words.items()}


_INPUTS: Final = {
    1: _store({0: MAX >> 8, 32: 27, 64: 5, 96: 7}),
    5: _store({0: 1_024, 32: 32, 64: 1_024, 96: MAX, 1_120: MAX, 1_152: MAX, 2_144: MAX}),
    6: _store({0: 1, 32: 2, 64: 1, 96: 2}),
    7: _store({0: 1, 32: 2, 64: MAX}),
    8: _store({0: 1, 32: 2, **{64 + 32 * at: word for at, word in enumerate(BN_G2)}}),
    9: _store({0: 100_000 << 224, 192: 1 << 216}),
    0x0B: _store({**G1, **_shifted(G1, 128)}),
    0x0C: _store({**G1, 128: MAX}),
    0x0D: _store({**G2, **_shifted(G2, 256)}),
    0x0E: _store({**G2, 256: MAX}),
    0x0F: _store({**G1, **_shifted(G2, 128)}),
    0x10: _store({32: 5}),
    0x11: _store({32: 5, 96: 7}),
}


def codes() -> Iterator[tuple[str, bytes]]:
    """Yield names and codes."""
    for name, opcode, operands in (
        ("MUL", op.MUL, 2),
        ("SDIV", op.SDIV, 2),
        ("SMOD", op.SMOD, 2),
        ("MULMOD", op.MULMOD, 3),
        ("EXP", op.EXP, 2),
        ("SIGNEXTEND", op.SIGNEXTEND, 2),
        ("SAR", op.SAR, 2),
    ):
        yield name, stacked(opcode, operands, 1, MAX - 1)
    yield "SHA3 of a word", looped(b"\x60\x20\x5f\x20\x50")
    yield "SHA3 of 8 kB", looped(b"\x61\x20\x00\x5f\x20\x50")
    yield "SLOAD warm", stacked(op.SLOAD, 1, 1, 1)
    yield "SLOAD cold", looped(b"\x5a\x54\x50")
    yield "SSTORE same value", looped(b"\x5f\x5f\x55")
    yield "TSTORE", looped(b"\x5f\x5f\x5d")
    yield "BALANCE warm", stacked(op.BALANCE, 1, 1, 1)
    yield "EXTCODEHASH cold", looped(b"\x5a\x3f\x50")
    yield "EXTCODECOPY 24 kB", looped(b"\x61\x5d\xc0\x5f\x5f\x30\x3c")
    yield "CALLDATACOPY 8 kB", looped(b"\x61\x20\x00\x5f\x5f\x37")
    yield "MCOPY 8 kB", looped(b"\x61\x20\x00\x5f\x60\x01\x5e")
    yield "LOG4 empty", looped(b"\x5f" * 6 + b"\xa4")
    yield "JUMPDEST", b"\x5b" * CODE_BYTES + b"\x5f\x56"
    yield (
        "JUMP",
        b"".join(
            b"\x5b" + b"\x61" + (5 * at + 5).to_bytes(2, "big") + b"\x56" for at in range(4_000)
        )
        + b"\x5b\x5f\x56",
    )
    yield "CALL to nobody", looped(b"\x5f\x5f\x5f\x5f\x5f\x60\x99\x5a\xf1\x50")
    yield "CALL to itself", b"\x5f\x5f\x5f\x5f\x5f\x30\x5a\xf1\x50\x5f\x56"
    yield "CREATE empty", looped(b"\x5f\x5f\x5f\xf0\x50")
    for name, address, size in (
        ("ecrecover", 1, 128),
        ("sha256", 2, 1_024),
        ("ripemd160", 3, 1_024),
        ("identity", 4, 8_192),
        ("modexp 1024", 5, 2_176),
        ("bn254 add", 6, 128),
        ("bn254 mul", 7, 96),
        ("bn254 pairing", 8, 192),
        ("blake2f", 9, 213),
        ("bls g1 add", 0x0B, 256),
        ("bls g1 msm", 0x0C, 160),
        ("bls g2 add", 0x0D, 512),
        ("bls g2 msm", 0x0E, 288),
        ("bls pairing", 0x0F, 384),
        ("bls map to g1", 0x10, 64),
        ("bls map to g2", 0x11, 128),
    ):
        yield name, called(address, size)


def measure(engine: Engine, code: bytes, gas: Gas) -> float:
    """Return the least seconds that a million gas of the code takes."""
    state = MemoryState.of({HERE: GenesisAccount(Wei(10**18), Nonce(1), code)})
    context = BlockContext(
        height=Height(10),
        timestamp=1_700_000_000,
        coinbase=Address(b"\xfe" * 20),
        gas_limit=Gas(100_000_000),
        base_fee=Wei(0),
        mix_hash=ZERO_HASH,
        chain_id=ChainId(1),
        block_hash=lambda height: Hash32(bytes(32)),
    )
    best = float("inf")
    for _ in range(REPEATS):
        started = time.process_time()
        result = engine.call(state, context, Call(CALLER, HERE, gas=gas))
        best = min(best, (time.process_time() - started) / result.gas_used * 1e6)
    return best


def main() -> None:
    """Read the command line, measure, print the worst first."""
    parser = argparse.ArgumentParser(prog="python -m scripts.hostile", description=__doc__)
    parser.add_argument("--gas", type=int, default=GAS, help="gas of each run")
    parser.add_argument("--plain", action="store_true", help="py-evm's own loop as well")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    engines = {"tuned": make_engine("tuned")}
    if options.plain:
        engines["plain"] = make_engine("plain")
    rows: list[dict[str, Any]] = [
        {
            "name": name,
            **{kind: measure(each, code, Gas(options.gas)) for kind, each in engines.items()},
        }
        for name, code in codes()
    ]
    rows.sort(key=lambda row: -row["tuned"])
    if options.json:
        print(json.dumps({"bls_wheel": IS_QUICK, "seconds_per_million_gas": rows}, indent=2))
        return
    print(f"seconds for a million gas; BLS12-381 wheel: {'yes' if IS_QUICK else 'no'}")
    for row in rows:
        figures = "".join(f"{row[kind]:10.3f}" for kind in engines)
        print(f"{row['name']:20}{figures}")


if __name__ == "__main__":
    main()
