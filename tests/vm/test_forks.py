"""Which fork a block runs under, and what each fork changes in execution."""

import time
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from primitives.crypto import p256
from primitives.errors import ConfigError, GasLimitExceeded
from primitives.transaction import Transaction
from primitives.types import Address, Gas, Hash32, Wei
from tests.vm.support import (
    ALICE,
    BOB,
    COINBASE,
    CONTRACT,
    ENGINE,
    ETHER,
    GWEI,
    KEYS,
    PARAMS,
    STORE_1,
    account,
    authorization,
    balance,
    context,
    contract,
    execute,
    initcode,
    signed,
    world,
)
from vm.engine import BlockContext, Call, Execution
from vm.forks import (
    BLOBS,
    OSAKA,
    PRAGUE,
    BlobSchedule,
    Fork,
    ForkSchedule,
    Rules,
    latest_rules,
    rules_at,
)
from vm.pyevm.forks.table import computation_of, opcodes_of, precompiles_of
from vm.pyevm.modexp import modexp_gas_byzantium, modexp_gas_osaka
from vm.pyevm.transition import contract_address

MAINNET: dict[str, Any] = {
    "homesteadBlock": 1_150_000,
    "daoForkBlock": 1_920_000,
    "daoForkSupport": True,
    "eip150Block": 2_463_000,
    "eip155Block": 2_675_000,
    "eip158Block": 2_675_000,
    "byzantiumBlock": 4_370_000,
    "constantinopleBlock": 7_280_000,
    "petersburgBlock": 7_280_000,
    "istanbulBlock": 9_069_000,
    "muirGlacierBlock": 9_200_000,
    "berlinBlock": 12_244_000,
    "londonBlock": 12_965_000,
    "arrowGlacierBlock": 13_773_000,
    "grayGlacierBlock": 15_050_000,
    "terminalTotalDifficulty": "58750000000000000000000",
    "shanghaiTime": 1_681_338_455,
    "cancunTime": 1_710_338_135,
    "pragueTime": 1_746_612_311,
    "osakaTime": 1_764_798_551,
    "bpo1Time": 1_765_290_071,
    "bpo2Time": 1_767_747_671,
    "depositContractAddress": "0x00000000219ab540356cbb839cbe05303d7705fa",
}
SCHEDULE = ForkSchedule.of_config(MAINNET)


def at(fork: Fork, **changes: Any) -> BlockContext:
    base_fee = GWEI if fork >= Fork.LONDON else 0
    return context(rules=Rules(fork), base_fee=Wei(base_fee), **changes)


def run(fork: Fork, tx: Transaction, **options: Any) -> tuple[Execution, Any]:
    return execute(tx, block=at(fork), **options)


def old(**changes: Any) -> Transaction:
    """A legacy transaction, which every fork from Spurious Dragon on takes."""
    return signed(**({"kind": 0, "gas": 400_000} | changes))


@pytest.mark.parametrize(
    ("height", "fork"),
    [
        (0, Fork.FRONTIER),
        (1_149_999, Fork.FRONTIER),
        (1_150_000, Fork.HOMESTEAD),
        (2_463_000, Fork.TANGERINE_WHISTLE),
        (2_675_000, Fork.SPURIOUS_DRAGON),
        (4_369_999, Fork.SPURIOUS_DRAGON),
        (4_370_000, Fork.BYZANTIUM),
        (7_280_000, Fork.PETERSBURG),
        (9_069_000, Fork.ISTANBUL),
        (9_200_000, Fork.MUIR_GLACIER),
        (12_244_000, Fork.BERLIN),
        (12_965_000, Fork.LONDON),
        (13_773_000, Fork.ARROW_GLACIER),
        (15_050_000, Fork.GRAY_GLACIER),
    ],
)
def test_forks_before_the_merge_come_by_height(height: int, fork: Fork) -> None:
    """The main chain's heights, from both sides; timestamps of later forks do not matter."""
    rules = SCHEDULE.rules(height, 2_000_000_000, merged=False)
    assert rules.fork == fork
    assert rules.blobs is None
    assert rules.deposit_contract is None


@pytest.mark.parametrize(
    ("timestamp", "fork", "blobs"),
    [
        (1_681_338_454, Fork.PARIS, None),
        (1_681_338_455, Fork.SHANGHAI, None),
        (1_710_338_135, Fork.CANCUN, (3, 6, 3_338_477)),
        (1_746_612_310, Fork.CANCUN, (3, 6, 3_338_477)),
        (1_746_612_311, Fork.PRAGUE, (6, 9, 5_007_716)),
        (1_764_798_551, Fork.OSAKA, (6, 9, 5_007_716)),
        (1_765_290_071, Fork.BPO1, (10, 15, 8_346_193)),
        (1_767_747_671, Fork.BPO2, (14, 21, 11_684_671)),
    ],
)
def test_forks_after_the_merge_come_by_time(
    timestamp: int, fork: Fork, blobs: tuple[int, int, int] | None
) -> None:
    """The main chain's timestamps with their blob schedules; requests from Prague on."""
    rules = SCHEDULE.rules(20_000_000, timestamp, merged=True)
    assert rules.fork == fork
    assert rules.blobs == (None if blobs is None else BlobSchedule(*blobs))
    assert (rules.deposit_contract is not None) == (fork >= Fork.PRAGUE)


def test_the_dao_moves_at_one_height_only() -> None:
    """EIP-779; a chain that did not support it never moves."""
    moves = [
        SCHEDULE.rules(h, 0, merged=False).moves_dao for h in (1_919_999, 1_920_000, 1_920_001)
    ]
    assert moves == [False, True, False]
    classic = ForkSchedule.of_config(MAINNET | {"daoForkSupport": False})
    assert not classic.rules(1_920_000, 0, merged=False).moves_dao


@pytest.mark.parametrize(
    "change",
    [
        {"amsterdamTime": 2_000_000_000},
        {"bpo3Time": 2_000_000_000},
        {"byzantiumBlock": 2_000_000},
        {"osakaTime": 1_700_000_000},
        {"eip155Block": 2_000_000},
        {"terminalTotalDifficulty": None},
    ],
)
def test_a_schedule_that_we_cannot_follow_is_refused(change: dict[str, Any]) -> None:
    """Unknown forks and forks out of order, rather than a wrong chain."""
    with pytest.raises(ConfigError):
        ForkSchedule.of_config(MAINNET | change)


def test_a_blob_schedule_of_the_document_wins_and_bpo_inherits() -> None:
    """EIP-7892: what a fork does not say, it takes from the one before."""
    entry = {"target": 1, "max": 2, "baseFeeUpdateFraction": 3}
    schedule = ForkSchedule.of_config(MAINNET | {"blobSchedule": {"osaka": entry}})
    assert schedule.rules(0, 1_764_798_551, merged=True).blobs == BlobSchedule(1, 2, 3)
    assert schedule.rules(0, 1_765_290_071, merged=True).blobs == BLOBS[Fork.BPO1]
    bare = replace(schedule, blobs={Fork.OSAKA: BlobSchedule(1, 2, 3)})
    assert bare.rules(0, 1_765_290_071, merged=True).blobs == BlobSchedule(1, 2, 3)


@given(osaka=st.none() | st.integers(0, 2**64 - 1), timestamp=st.integers(0, 2**64 - 1))
def test_our_networks_are_prague_and_osaka_from_its_time_on(
    osaka: int | None, timestamp: int
) -> None:
    """Default Prague; the pool looks ahead. Never blobs, never requests."""
    params = replace(PARAMS, osaka_time=osaka)
    is_osaka = osaka is not None and timestamp >= osaka
    assert rules_at(params, timestamp) == (OSAKA if is_osaka else PRAGUE)
    assert latest_rules(params) == (PRAGUE if osaka is None else OSAKA)


def test_each_fork_has_a_computation_of_its_own_tables() -> None:
    """From DELEGATECALL to CLZ: an opcode is there from its fork on, and not before."""
    born = {
        0xF4: Fork.HOMESTEAD,
        0xFD: Fork.BYZANTIUM,
        0x1B: Fork.CONSTANTINOPLE,
        0xF5: Fork.CONSTANTINOPLE,
        0x46: Fork.ISTANBUL,
        0x48: Fork.LONDON,
        0x5F: Fork.SHANGHAI,
        0x5C: Fork.CANCUN,
        0x1E: Fork.OSAKA,
    }
    for fork in Fork:
        assert computation_of(fork).opcodes.keys() == opcodes_of(fork).keys()
        assert computation_of(fork) is computation_of(fork)
        for opcode, since in born.items():
            assert (opcode in opcodes_of(fork)) == (fork >= since), (fork, hex(opcode))


def test_precompiles_grow_with_forks() -> None:
    """4, with modexp and curve 8, with blake2 9, with KZG 10, with BLS 17, with P-256 18."""
    sizes = {
        Fork.FRONTIER: 4,
        Fork.BYZANTIUM: 8,
        Fork.ISTANBUL: 9,
        Fork.CANCUN: 10,
        Fork.PRAGUE: 17,
        Fork.OSAKA: 18,
    }
    for fork in Fork:
        expected = next(n for since, n in reversed(sizes.items()) if fork >= since)
        assert len(precompiles_of(fork)) == expected, fork


def deploying(code: bytes) -> bytes:
    """Initcode that deploys `code`, without PUSH0."""
    size = len(code).to_bytes(2, "big")
    return b"\x61" + size + b"\x60\x0e\x60\x00\x39\x61" + size + b"\x60\x00\xf3" + code


def creating(code: bytes, **changes: Any) -> Transaction:
    return old(to=None, value=0, data=deploying(code), **changes)


def test_an_empty_account_is_made_before_spurious_dragon_and_goes_after() -> None:
    """EIP-161: a transfer of nothing to nobody. Kills: `keeps_empty` forgotten in one place."""
    nobody = Address(b"\x77" * 20)
    tx = signed(kind=0, chain_id=None, to=nobody, value=0, gas=21_000)
    engine = type(ENGINE)(allow_unprotected=True)
    for fork, is_there in ((Fork.HOMESTEAD, True), (Fork.SPURIOUS_DRAGON, False)):
        result = engine.execute(world(), at(fork), [tx], skip_invalid=False)
        assert (result.changes.accounts.get(nobody) is not None) == is_there
        state = world()
        state.apply(result.changes)
        assert (state.account(nobody) is not None) == is_there


def test_a_creation_that_cannot_pay_for_its_code() -> None:
    """Frontier: a contract without code; from Homestead on it fails (EIP-2)."""
    engine = type(ENGINE)(allow_unprotected=True)
    made = contract_address(ALICE, 0)
    for fork, status, intrinsic in ((Fork.FRONTIER, 1, 21_000), (Fork.HOMESTEAD, 0, 53_000)):
        data = deploying(b"\x01" * 100)
        gas = intrinsic + 4 * data.count(0) + 68 * (len(data) - data.count(0)) + 1_000
        tx = signed(kind=0, chain_id=None, to=None, value=0, data=data, gas=gas)
        result = engine.execute(world(), at(fork), [tx], skip_invalid=False)
        assert result.receipts[0].status == status
        entry = result.changes.accounts.get(made)
        assert (entry is not None) == (fork == Fork.FRONTIER)


@pytest.mark.parametrize(
    ("fork", "nonce", "large", "reserved"),
    [
        (Fork.TANGERINE_WHISTLE, 0, 1, 1),
        (Fork.SPURIOUS_DRAGON, 1, 0, 1),
        (Fork.BERLIN, 1, 0, 1),
        (Fork.LONDON, 1, 0, 0),
        (Fork.OSAKA, 1, 0, 0),
    ],
)
def test_what_a_new_contract_may_be(fork: Fork, nonce: int, large: int, reserved: int) -> None:
    """EIP-161 (nonce 1), EIP-170 (size), EIP-3541 (0xef)."""
    engine = type(ENGINE)(allow_unprotected=True)

    def status(code: bytes) -> tuple[int, int]:
        tx = signed(kind=0, chain_id=None, to=None, value=0, data=deploying(code), gas=9_000_000)
        result = engine.execute(world(), at(fork), [tx], skip_invalid=False)
        entry = result.changes.accounts.get(contract_address(ALICE, 0))
        return result.receipts[0].status, -1 if entry is None else entry.nonce

    assert status(b"\x01") == (1, nonce)
    assert status(b"\x01" * 24_577)[0] == large
    assert status(b"\xef")[0] == reserved


def test_gas_of_data_creation_and_floor_by_fork() -> None:
    """EIP-2028 at Istanbul, EIP-3860 at Shanghai, EIP-7623 at Prague."""
    data = b"\x01" * 64
    used = {
        fork: run(fork, old(to=BOB, data=data))[0].gas_used
        for fork in (Fork.PETERSBURG, Fork.ISTANBUL, Fork.CANCUN, Fork.PRAGUE)
    }
    assert used == {
        Fork.PETERSBURG: 21_000 + 64 * 68,
        Fork.ISTANBUL: 21_000 + 64 * 16,
        Fork.CANCUN: 21_000 + 64 * 16,
        Fork.PRAGUE: 21_000 + 64 * 40,
    }
    one = [run(fork, creating(b"\x01"))[0].gas_used for fork in (Fork.PARIS, Fork.SHANGHAI)]
    assert one[1] - one[0] == 2


def test_refunds_are_a_half_before_london_and_a_fifth_after() -> None:
    """EIP-3529: clearing a slot; SELFDESTRUCT gives 24,000 before London only."""
    clear = {CONTRACT: account(code=bytes.fromhex("60006000 55 00".replace(" ", "")), s0=1)}
    tx = old(to=CONTRACT, value=0)
    berlin, london = (run(fork, tx, more=clear)[0].gas_used for fork in (Fork.BERLIN, Fork.LONDON))
    assert berlin == (21_000 + 6 + 5_000) - 13_003
    assert london == (21_000 + 6 + 5_000) - 4_800
    destroy = {CONTRACT: account(code=bytes.fromhex("33ff"))}
    berlin, london = (
        run(fork, tx, more=destroy)[0].gas_used for fork in (Fork.BERLIN, Fork.LONDON)
    )
    assert london == 21_000 + 2 + 5_000
    assert berlin == london - london // 2


@pytest.mark.parametrize(("fork", "gone"), [(Fork.SHANGHAI, True), (Fork.CANCUN, False)])
def test_selfdestruct_ends_a_contract_before_cancun(fork: Fork, gone: bool) -> None:
    """EIP-6780."""
    _, after = run(fork, old(to=CONTRACT, value=0), more={CONTRACT: account(code=b"\x33\xff")})
    assert (after.account(CONTRACT) is None) == gone


def test_the_fee_recipient_is_warm_from_shanghai_on() -> None:
    """EIP-3651."""
    more = contract(b"\x41\x31\x00")
    tx = old(to=CONTRACT, value=0)
    cold, warm = (run(f, tx, more=more)[0].gas_used for f in (Fork.PARIS, Fork.SHANGHAI))
    assert (cold, warm) == (21_000 + 2 + 2_600, 21_000 + 2 + 100)


def test_opcode_44_is_difficulty_before_the_merge() -> None:
    """EIP-4399: DIFFICULTY becomes PREVRANDAO."""
    code = bytes.fromhex("445f5260205ff3".replace("5f", "6000"))
    for fork, value in ((Fork.GRAY_GLACIER, 77), (Fork.PARIS, int.from_bytes(b"\5" * 32, "big"))):
        block = replace(at(fork), difficulty=77, mix_hash=Hash32(b"\5" * 32))
        result = ENGINE.call(world(contract(code)), block, Call(ALICE, CONTRACT))
        assert int.from_bytes(result.output, "big") == value


def test_delegations_are_plain_code_before_prague() -> None:
    """Code 0xef0100... from before EIP-7702 is an invalid instruction."""
    more = {CONTRACT: account(code=STORE_1), BOB: account(code=b"\xef\x01\x00" + CONTRACT)}
    tx = old(to=BOB, value=0)
    assert run(Fork.CANCUN, tx, more=more)[0].receipts[0].status == 0
    assert run(Fork.PRAGUE, tx, more=more)[0].receipts[0].status == 1


def test_what_a_delegated_origin_creates_can_be_destroyed_in_the_same_transaction() -> None:
    """EIP-6780 with EIP-7702: the sender's code creates a contract, then calls it to its end."""
    body = initcode(b"\x33\xff")
    code = bytes([0x5F + len(body)]) + body + bytes([0x5F, 0x52])
    code += bytes([0x60, len(body), 0x60, 32 - len(body), 0x5F, 0xF0])
    code += bytes.fromhex("5f5f5f5f5f855af100")
    authorizations = (authorization(KEYS[0], CONTRACT, nonce=1),)
    tx = signed(kind=4, to=ALICE, value=0, gas=400_000, authorizations=authorizations)
    result, after = execute(tx, more={CONTRACT: account(code=code)})
    assert result.receipts[0].status == 1
    assert after.account(contract_address(ALICE, 2)) is None


def test_the_blobs_of_a_block_are_counted_together() -> None:
    """EIP-4844: nine in a Prague block; the next transaction is refused, or left out. Each pays."""
    rules = Rules(Fork.PRAGUE, BLOBS[Fork.PRAGUE])
    block = context(rules=rules, excess_blob_gas=Gas(10 * 1024 * 1024))
    hashes = tuple(Hash32(b"\1" + bytes([i]) * 31) for i in range(5))
    first, second = (
        replace(signed(nonce=n), type=3, blob_hashes=hashes, max_fee_per_blob_gas=Wei(8))
        for n in range(2)
    )
    fitting = replace(second, blob_hashes=hashes[:4])
    both = ENGINE.execute(world(), block, [first, fitting], skip_invalid=False)
    paid = 10 * ETHER - both.changes.accounts[ALICE].balance  # type: ignore[union-attr]
    assert paid == 2 * (21_000 * 2 * GWEI + 1) + 9 * 131_072 * 8
    with pytest.raises(GasLimitExceeded, match="blob gas"):
        ENGINE.execute(world(), block, [first, second], skip_invalid=False)
    built = ENGINE.execute(world(), block, [first, second], skip_invalid=True)
    assert built.transactions == (first,)


def test_blobhash_sees_the_hashes() -> None:
    """Index 1 of two, and zero beyond."""
    rules = Rules(Fork.CANCUN, BLOBS[Fork.CANCUN])
    hashes = tuple(Hash32(b"\1" + bytes([i]) * 31) for i in (7, 8))
    plain = signed(to=CONTRACT, value=0, gas=100_000)
    tx = replace(plain, type=3, blob_hashes=hashes, max_fee_per_blob_gas=Wei(1))
    more = contract(bytes.fromhex("6001495f55 6002496001 5500".replace(" ", "")))
    _, after = execute(tx, more=more, block=context(rules=rules))
    assert after.storage(CONTRACT, 0) == int.from_bytes(hashes[1], "big")
    assert after.storage(CONTRACT, 1) == 0


# --- Osaka ---------------------------------------------------------------------------------------


@given(value=st.integers(0, 2**256 - 1) | st.integers(0, 255).map(lambda bits: 1 << bits))
def test_clz_counts_leading_zeros(value: int) -> None:
    """EIP-7939: 256 for zero; 5 gas."""
    code = b"\x7f" + value.to_bytes(32, "big") + bytes.fromhex("1e5f5260205ff3")
    result = ENGINE.call(world(contract(code)), at(Fork.OSAKA), Call(ALICE, CONTRACT))
    assert int.from_bytes(result.output, "big") == 256 - value.bit_length()


def test_clz_costs_five_and_is_not_there_in_prague() -> None:
    """The same code is an invalid instruction before Osaka."""
    code = bytes.fromhex("5f1e5000")
    result = ENGINE.call(world(contract(code)), at(Fork.OSAKA), Call(ALICE, CONTRACT))
    assert result.gas_used == 21_000 + 2 + 5 + 2
    before = ENGINE.call(world(contract(code)), at(Fork.PRAGUE), Call(ALICE, CONTRACT))
    assert before.error == "invalid opcode: CLZ", "geth names it, whatever the fork"


P256 = Address((0x100).to_bytes(20, "big"))
# EIP-7951, "Test Cases": Wycheproof, the first valid one.
P256_INPUT = bytes.fromhex(
    "bb5a52f42f9c9261ed4361f59422a1e30036e7c32b270c8807a419feca605023"
    "2ba3a8be6b94d5ec80a6d9d1190a436effe50d85a1eee859b8cc6af9bd5c2e18"
    "4cd60b855d442f5b3c7b11eb6c4e0ae7525fe710fab9aa7c77a67f79e6fadd76"
    "2927b10512bae3eddcfe467828128bad2903269919f7086069c8c4df6c732838"
    "c7787964eaac00e5921fb1498a60f4606766b3d9685001558d1a974e7341513e"
)


def test_p256verify_answers_one_or_nothing() -> None:
    """6,900 gas either way; any changed part, length or point off the curve gives nothing."""

    def call(data: bytes, fork: Fork = Fork.OSAKA) -> bytes:
        result = ENGINE.call(world(), at(fork), Call(ALICE, P256, data, gas=Gas(200_000)))
        assert result.success
        return result.output

    assert call(P256_INPUT) == (1).to_bytes(32, "big")
    assert call(P256_INPUT, Fork.PRAGUE) == b""
    for at_byte in range(0, 160, 32):
        changed = bytearray(P256_INPUT)
        changed[at_byte + 31] ^= 1
        assert call(bytes(changed)) == b""
    for wrong in (b"", P256_INPUT[:-1], P256_INPUT + b"\0", bytes(160), b"\xff" * 160):
        assert call(wrong) == b""
    r, s = (int.from_bytes(P256_INPUT[n : n + 32], "big") for n in (32, 64))
    high = (p256.ORDER - s).to_bytes(32, "big")
    assert call(P256_INPUT[:64] + high + P256_INPUT[96:]) == (1).to_bytes(32, "big")
    too_big = (r + p256.ORDER).to_bytes(33, "big")[-32:]
    assert call(P256_INPUT[:32] + too_big + P256_INPUT[64:]) == b""


def test_p256_gas() -> None:
    """Charged before anything is looked at; too little fails the call."""
    need = 21_000 + 4 * 160 + 6_900
    for gas, success in ((need, True), (need - 1, False)):
        result = ENGINE.call(world(), at(Fork.OSAKA), Call(ALICE, P256, bytes(160), gas=Gas(gas)))
        assert result.success == success


POINT_EVALUATION = Address(bytes(19) + b"\x0a")
INFINITY = b"\xc0" + bytes(47)
"""The commitment to the polynomial zero, and the proof of each of its values."""


def test_point_evaluation() -> None:
    """Zero is zero everywhere; a wrong value, hash, point or length burns all gas (EIP-4844)."""
    versioned = b"\x01" + sha256(INFINITY).digest()[1:]
    good = versioned + b"\0" * 31 + b"\5" + bytes(32) + INFINITY + INFINITY

    def call(data: bytes) -> tuple[bool, bytes, int]:
        call = Call(ALICE, POINT_EVALUATION, data, gas=Gas(100_000))
        result = ENGINE.call(world(), at(Fork.CANCUN), call)
        return result.success, result.output, result.gas_used

    success, output, gas = call(good)
    assert success
    assert int.from_bytes(output[:32], "big") == 4_096
    assert gas == 21_000 + 4 * good.count(0) + 16 * (192 - good.count(0)) + 50_000
    for index in (0, 95, 96, 191):
        changed = bytearray(good)
        changed[index] ^= 1
        assert call(bytes(changed)) == (False, b"", 100_000)
    too_big = versioned + b"\xff" * 32 + bytes(32) + INFINITY + INFINITY
    for wrong in (b"", good[:-1], good + b"\0", too_big):
        assert call(wrong) == (False, b"", 100_000)


def test_point_evaluation_reads_its_setup_once() -> None:
    """py-evm reads it at each call, 1.7 s for 50,000 gas."""
    versioned = b"\x01" + sha256(INFINITY).digest()[1:]
    good = versioned + bytes(64) + INFINITY + INFINITY
    test_point_evaluation()
    started = time.process_time()
    for _ in range(10):
        ENGINE.call(world(), at(Fork.CANCUN), Call(ALICE, POINT_EVALUATION, good))
    assert time.process_time() - started < 0.5


def word(value: int) -> bytes:
    return value.to_bytes(32, "big")


def test_modexp_in_osaka_is_bounded_and_dearer() -> None:
    """EIP-7823: 1,024 bytes and no more; EIP-7883: at least 500 gas."""
    modexp = Address(bytes(19) + b"\x05")

    def call(size: int, fork: Fork) -> bool:
        data = word(0) + word(0) + word(size)
        return ENGINE.call(world(), at(fork), Call(ALICE, modexp, data, gas=Gas(900_000))).success

    assert call(1_024, Fork.OSAKA)
    assert not call(1_025, Fork.OSAKA)
    assert call(1_025, Fork.PRAGUE)
    assert modexp_gas_osaka(0, 0, 0, 0) == 500
    assert modexp_gas_osaka(32, 32, 32, 2**255) == 255 * 16
    assert modexp_gas_osaka(33, 33, 33, 1) == 2 * 25 * 16
    assert modexp_gas_osaka(1_024, 1_024, 1_024, 0) == 2 * 128**2 * 16 * 992


def test_modexp_before_berlin_has_its_first_price() -> None:
    """EIP-198, "Gas costs": the examples of the EIP."""
    assert modexp_gas_byzantium(1, 32, 32, 2**256 - 2**32 - 978) == 13_056
    assert modexp_gas_byzantium(0, 32, 32, 2**256 - 2**32 - 978) == 13_056
    assert modexp_gas_byzantium(64, 1, 64, 3) == 64 * 64 // 20
    assert modexp_gas_byzantium(128, 1, 128, 1) == (128 * 128 // 4 + 96 * 128 - 3_072) // 20
    assert (
        modexp_gas_byzantium(2_048, 33, 1, 0) == (2_048**2 // 16 + 480 * 2_048 - 199_680) * 8 // 20
    )


def test_a_transaction_has_at_most_2_to_the_24_gas_in_osaka() -> None:
    """EIP-7825, from both sides, in a block; an estimate never asks for more."""
    block = at(Fork.OSAKA, gas_limit=Gas(60_000_000))
    state = world({ALICE: account(1_000 * ETHER)})
    most = signed(gas=1 << 24)
    assert ENGINE.execute(state, block, [most], skip_invalid=False).gas_used == 21_000
    with pytest.raises(GasLimitExceeded, match=r"cap: 16777216, tx: 16777217"):
        ENGINE.execute(state, block, [signed(gas=(1 << 24) + 1)], skip_invalid=False)
    over = replace(block, rules=PRAGUE)
    assert ENGINE.execute(state, over, [signed(gas=(1 << 24) + 1)], skip_invalid=False)
    greedy = contract(bytes.fromhex("63ffffffff51"))
    with pytest.raises(Exception, match=r"allowance \(16777216\)"):
        ENGINE.estimate(world(greedy), block, Call(ALICE, CONTRACT))


def test_the_fee_goes_to_the_fee_recipient_whole_before_london() -> None:
    """Nothing is burnt before EIP-1559."""
    _, after = run(Fork.BERLIN, old(to=BOB, cap=3 * GWEI, gas=21_000))
    assert balance(after, COINBASE) == 21_000 * 3 * GWEI
