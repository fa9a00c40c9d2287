"""A multi-signature account under any operation, forged or repeated ones too, beside a model.

Signers are four keys of Ethereum, a hash lock and a P-256 key; the last two by verifier contracts
(ERC-7913). The model knows weights, threshold, nonce and what the account has paid. Kills, each
seen to fail when planted (tests/contracts/forge/weak.py): a nonce that is not used up, a digest
without chain and account, a signer counted twice, signers changed by anybody.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from eth_abi.abi import encode
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from primitives.crypto.keccak import keccak
from primitives.types import Address, ChainId
from qenex.abi import call_data
from tests.contracts.world import (
    ALICE,
    BOB,
    CAROL,
    DAVE,
    EVE,
    GAS,
    KEY_OF,
    Reverted,
    World,
    sign,
)
from vm.engine import Call

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
SECRET = b"one-time secret of a hash lock"
LOCK, PASSKEY = 4, 5
KEYS = (ALICE, BOB, CAROL, DAVE)
OTHER_CHAIN = ChainId(4_242)
FAR = 2**64
FLAWS = ("stranger", "garbage", "calls", "deadline", "nonce", "account", "late")

sets = st.sets(st.integers(0, 5))
which = st.integers(0, 5)
Calls = list[tuple[Address, int, bytes]]


def code_of(path: Path) -> bytes:
    """Return the creation code of a weakened copy."""
    return bytes.fromhex(json.loads(path.read_text())["bytecode"].removeprefix("0x"))


class MultiSigMachine(RuleBasedStateMachine):
    """Signers, weights and threshold change; enough weight acts, and nothing else does."""

    CODE: ClassVar[Path | None] = None
    """A weakened copy of the account, for the tests of this machine."""

    @initialize()
    def begin(self) -> None:
        self.world = World.standard()
        if self.CODE:
            implementation = self.world.create(code_of(self.CODE), EVE)
            factory = self.world.deploy("MultiSigFactory", implementation)
        else:
            factory = self.world.places["MultiSigFactory"]
        self.world.name("MultiSigFactory", factory, "factory")
        self.passkey = ec.derive_private_key(77, ec.SECP256R1())
        self.signers = [*map(bytes, KEYS), self._lock(), self._passkey()]
        self.weights = [1, 2, 0, 0, 1, 2]
        self.threshold = 3
        first = [each for each in range(6) if self.weights[each]]
        for salt in range(2):
            self._create(first, salt)
        self.nonce = self.paid = 0
        self.used: list[bytes] = []
        self.stale: bytes | None = None

    def _lock(self) -> bytes:
        return bytes(self.world.weak("KeccakVerifier")) + bytes(keccak(SECRET))

    def _passkey(self) -> bytes:
        public = self.passkey.public_key().public_numbers()
        verifier = bytes(self.world.weak("P256Signer"))
        return verifier + public.x.to_bytes(32, "big") + public.y.to_bytes(32, "big")

    def _create(self, chosen: Sequence[int], salt: int) -> None:
        values = (
            [self.signers[each] for each in chosen],
            [self.weights[each] for each in chosen],
            self.threshold,
            salt.to_bytes(32, "big"),
        )
        place = self.world.read("factory", "addressOf", *values)
        self.world.send(EVE, "factory", "create", *values)
        address = Address(bytes.fromhex(place[2:]))
        self.world.name("MultiSigAccount", address, ("account", "other")[salt])
        self.world.raw(EVE, address, b"", 10**6)

    # What is signed --------------------------------------------------------------------------

    def proof(self, each: int, digest: bytes) -> bytes:
        """Return a signer's signature of a digest."""
        if each == LOCK:
            return SECRET
        if each != PASSKEY:
            return sign(KEY_OF[KEYS[each]], digest)
        raw = self.passkey.sign(digest, ec.ECDSA(Prehashed(SHA256())))
        r, s = decode_dss_signature(raw)
        return r.to_bytes(32, "big") + min(s, P256_ORDER - s).to_bytes(32, "big")

    def digest(self, calls: Calls, deadline: int, place: str = "account") -> bytes:
        found: bytes = self.world.read(place, "operationHash", calls, deadline)
        return found

    def data(self, calls: Calls, deadline: int, signed: list[tuple[bytes, bytes]]) -> bytes:
        """Return the call that submits an operation with its signers and their signatures."""
        raw = encode(["bytes[]", "bytes[]"], [[a for a, _ in signed], [b for _, b in signed]])
        return bytes(call_data("MultiSigAccount", "execute", (calls, deadline, raw)))

    def signed(self, chosen: Sequence[int], digest: bytes) -> list[tuple[bytes, bytes]]:
        return [(self.signers[each], self.proof(each, digest)) for each in chosen]

    def submit(self, data: bytes, place: str = "account") -> bool:
        """Submit an operation; whoever does it decides nothing."""
        try:
            self.world.raw(EVE, self.world.places[place], data)
        except Reverted:
            return False
        return True

    def pays(self, count: int) -> Calls:
        return [(DAVE, 1, b"")] * count

    def all_of_them(self) -> list[int]:
        return [each for each in range(6) if self.weights[each]]

    def suffices(self, chosen: Sequence[int]) -> bool:
        mine = all(self.weights[each] for each in chosen)
        return mine and sum(self.weights[each] for each in chosen) >= self.threshold

    def act(self, calls: Calls, chosen: Sequence[int], *, may: bool = True) -> bool:
        """Submit an operation that `chosen` signed; return whether it was done, as it must be."""
        deadline = self.world.now
        data = self.data(calls, deadline, self.signed(chosen, self.digest(calls, deadline)))
        stale = self.digest(self.pays(1), FAR)
        done = self.submit(data)
        assert done == (may and self.suffices(chosen)), "done without a right, or refused with one"
        if done:
            self.nonce += 1
            self.stale = stale
            if set(chosen) != {LOCK}:  # the lock alone opens for any digest
                self.used.append(data)
        return done

    # Actions ---------------------------------------------------------------------------------

    @rule(chosen=sets, count=st.integers(1, 3), back=st.booleans())
    def pay(self, chosen: set[int], count: int, *, back: bool) -> None:
        """Any set of signers, in any order."""
        if self.act(self.pays(count), sorted(chosen, reverse=back)):
            self.paid += count

    @rule(left_out=st.integers(0, 7), count=st.integers(1, 64))
    def pay_with_most(self, left_out: int, count: int) -> None:
        """All signers but one at most: often just enough, or just too little."""
        if self.act(self.pays(count), [each for each in self.all_of_them() if each != left_out]):
            self.paid += count

    @rule(flaw=st.sampled_from(FLAWS), pick=which)
    def forge(self, flaw: str, pick: int) -> None:
        """Enough weight, and one flaw: nothing of it may act."""
        chosen, calls, deadline = self.all_of_them(), self.pays(1), self.world.now
        if chosen == [LOCK]:
            return
        digest = self.digest(calls, deadline, "other" if flaw == "account" else "account")
        if flaw == "nonce" and self.stale:
            digest, deadline = self.stale, FAR
        elif flaw == "nonce":
            return
        signed = self.signed(chosen, digest)
        if flaw == "stranger":
            signed = [*signed, (bytes(EVE), sign(KEY_OF[EVE], digest))]
        if flaw == "garbage":
            place = pick % len(signed)
            signed[place] = (signed[place][0], bytes(range(65)))
        deadline += (flaw == "deadline") - (flaw == "late")
        calls = self.pays(2) if flaw == "calls" else calls
        assert not self.submit(self.data(calls, deadline, signed)), f"a flaw passed: {flaw}"

    @rule(pick=which, more=st.booleans())
    def twice(self, pick: int, *, more: bool) -> None:
        """A signer that is too light alone counts once, however often it signs."""
        light = [each for each in self.all_of_them() if self.weights[each] < self.threshold]
        if not light:
            return
        chosen = light[pick % len(light) :][:1] * self.threshold
        calls, deadline = self.pays(1), self.world.now
        chosen = [*self.all_of_them(), *chosen] if more else chosen
        signed = self.signed(chosen, self.digest(calls, deadline))
        assert not self.submit(self.data(calls, deadline, signed)), "a signer counted twice"

    @precondition(lambda self: self.used)
    @rule(pick=which, how=st.sampled_from(("again", "account", "chain")))
    def replay(self, pick: int, how: str) -> None:
        """What was done is done: again, on another account, on another chain."""
        data = self.used[pick % len(self.used)]
        if how == "chain":
            context = replace(self.world.context(), chain_id=OTHER_CHAIN)
            call = Call(EVE, self.world.places["account"], data, gas=GAS)
            assert not self.world.engine.call(self.world.state, context, call).success
            return
        assert not self.submit(data, "other" if how == "account" else "account"), how

    @rule(pick=which)
    def other_chain(self, pick: int) -> None:
        """What is signed for this chain does nothing on another, where nonces are the same."""
        chosen, calls, deadline = self.all_of_them(), self.pays(1 + pick), self.world.now
        if chosen == [LOCK]:
            return
        data = self.data(calls, deadline, self.signed(chosen, self.digest(calls, deadline)))
        context = replace(self.world.context(), chain_id=OTHER_CHAIN)
        call = Call(EVE, self.world.places["account"], data, gas=GAS)
        assert self.world.engine.call(self.world.state, self.world.context(), call).success
        assert not self.world.engine.call(self.world.state, context, call).success, "other chain"

    @rule(count=st.integers(1, 3))
    def fail(self, count: int) -> None:
        """A batch whose last call fails does nothing, and uses no nonce."""
        refused = (self.world.places["factory"], 0, call_data("QXC", "deposit", ()))
        self.act([*self.pays(count), refused], self.all_of_them(), may=False)

    @rule(chosen=sets, each=which, weight=st.integers(0, 4), most=st.booleans())
    def weigh(self, chosen: set[int], each: int, weight: int, *, most: bool) -> None:
        """Add a signer, weigh or, with weight 0, remove it, and pay in the same operation."""
        old = self.weights[each]
        left = sum(self.weights) - old + weight
        may = left >= self.threshold if old else weight != 0
        one = [self.signers[each]]
        if weight == 0 and old:
            data = call_data("MultiSigAccount", "removeSigners", (one,))
        else:
            name = "setSignerWeights" if old else "addSigners"
            data = call_data("MultiSigAccount", name, (one, [weight]))
        if self.change(data, self.all_of_them() if most else sorted(chosen), may=may):
            self.weights[each] = weight

    @rule(chosen=sets, threshold=st.integers(0, 9), most=st.booleans())
    def limit(self, chosen: set[int], threshold: int, *, most: bool) -> None:
        """Set the threshold, where the signers can reach it."""
        data = call_data("MultiSigAccount", "setThreshold", (threshold,))
        may = 0 < threshold <= sum(self.weights)
        if self.change(data, self.all_of_them() if most else sorted(chosen), may=may):
            self.threshold = threshold

    def change(self, data: bytes, chosen: Sequence[int], *, may: bool) -> bool:
        done = self.act([*self.pays(1), (self.world.places["account"], 0, data)], chosen, may=may)
        self.paid += done
        return done

    @rule(
        who=st.sampled_from((ALICE, BOB, EVE)),
        call=st.sampled_from(
            (
                ("addSigners", ([bytes(EVE)], [9])),
                ("removeSigners", ([bytes(ALICE)],)),
                ("setSignerWeights", ([bytes(ALICE)], [9])),
                ("setThreshold", (1,)),
                ("initialize", ([bytes(EVE)], [1], 1)),
            )
        ),
    )
    def stranger(self, who: Address, call: tuple[str, tuple[Any, ...]]) -> None:
        """Nobody changes the account from outside, a signer neither."""
        function, values = call
        try:
            self.world.send(who, "account", function, *values)
        except Reverted as error:
            assert error.name in {"OnlySelf", "AlreadyInitialized"}
            return
        raise AssertionError(f"{function} by a stranger")

    @rule(seconds=st.integers(1, 10**6))
    def wait(self, seconds: int) -> None:
        self.world.wait(seconds)

    # Properties ------------------------------------------------------------------------------

    @invariant()
    def is_the_model(self) -> None:
        """Nonce, threshold and weights are the model's; so is what the account has paid."""
        read = self.world.read
        assert read("account", "nonce") == self.nonce
        assert read("other", "nonce") == 0
        assert read("account", "threshold") == self.threshold
        assert read("account", "totalWeight") == sum(self.weights) >= self.threshold > 0
        for signer, weight in zip(self.signers, self.weights, strict=True):
            assert read("account", "signerWeight", signer) == weight
            assert read("account", "isSigner", signer) == (weight != 0)
        assert read("account", "getSignerCount") == len(self.all_of_them())
        assert self.world.balance(self.world.places["account"]) == 10**6 - self.paid
