"""EIP-7702: authorizations give accounts code, and wrong ones are skipped."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from primitives.transaction import Transaction
from primitives.types import Address
from tests.vm.support import (
    ALICE,
    BALANCE_OF,
    BOB,
    CAROL,
    CHAIN,
    CONTRACT,
    DAVE,
    ETHER,
    KEYS,
    NOBODY,
    RETURN_42,
    STORE_1,
    account,
    authorization,
    contract,
    execute,
    reverting,
    signed,
)
from vm.state.layered import LayeredState


def delegation(code: bytes) -> bytes:
    return bytes.fromhex("ef0100") + code


def set_code(*authorizations: object, **changes: Any) -> Transaction:
    fields: dict[str, Any] = {"kind": 4, "gas": 200_000, "authorizations": authorizations}
    return signed(**(fields | changes))


def code_of(state: LayeredState, address: Address) -> bytes:
    found = state.account(address)
    return b"" if found is None else state.code(found.code_hash)


def test_an_authorization_gives_an_account_code() -> None:
    """The authority's nonce rises, its code is a delegation, and a call runs it in its storage."""
    tx = set_code(authorization(KEYS[3], CONTRACT), to=DAVE, value=0)
    result, after = execute(tx, more=contract(STORE_1))
    assert result.receipts[0].status == 1
    assert code_of(after, DAVE) == delegation(CONTRACT)
    authority = after.account(DAVE)
    assert authority is not None
    assert authority.nonce == 1
    assert after.storage(DAVE, 0) == 1
    assert after.storage(CONTRACT, 0) == 0


def test_an_existing_authority_is_cheaper() -> None:
    """12,500 of the 25,000 come back when the account was there (up to a fifth of the gas)."""
    new, _ = execute(set_code(authorization(KEYS[3], CONTRACT), to=NOBODY, value=0))
    old, _ = execute(set_code(authorization(KEYS[1], CONTRACT), to=NOBODY, value=0))
    assert new.gas_used == 46_000
    assert old.gas_used == 46_000 - 46_000 // 5


@pytest.mark.parametrize(
    "wrong",
    [
        authorization(KEYS[1], CONTRACT, chain_id=CHAIN + 1),
        authorization(KEYS[1], CONTRACT, nonce=1),
        authorization(KEYS[1], CONTRACT, nonce=2**64 - 1),
        replace(authorization(KEYS[1], CONTRACT), y_parity=2),
        replace(authorization(KEYS[1], CONTRACT), r=0),
        replace(authorization(KEYS[1], CONTRACT), s=2**256 - 1),
    ],
    ids=["chain", "nonce", "greatest nonce", "parity", "r", "s"],
)
def test_a_wrong_authorization_is_skipped(wrong: object) -> None:
    """It changes nothing and the transaction goes on with the next."""
    tx = set_code(wrong, authorization(KEYS[2], CONTRACT), to=NOBODY, value=0)
    result, after = execute(tx)
    assert result.receipts[0].status == 1
    assert code_of(after, BOB) == b""
    assert code_of(after, CAROL) == delegation(CONTRACT)


def test_a_nonce_at_its_limit_is_never_authorized() -> None:
    """Step 2 of the EIP: the nonce could not rise."""
    tx = set_code(authorization(KEYS[3], CONTRACT, nonce=2**64 - 1), to=NOBODY, value=0)
    _, after = execute(tx, more={DAVE: account(nonce=2**64 - 1)})
    assert code_of(after, DAVE) == b""


def test_an_authority_is_warm_even_if_it_is_skipped() -> None:
    """EIP-7702 step 4: asking for its balance costs 100 and not 2,600."""
    skipped = authorization(KEYS[3], CONTRACT, nonce=9)
    more = contract(BALANCE_OF % DAVE)
    result, _ = execute(set_code(skipped, to=CONTRACT, value=0), more=more)
    assert result.gas_used == 46_000 + 3 + 100
    cold, _ = execute(signed(to=CONTRACT, gas=50_000, value=0), more=more)
    assert cold.gas_used == 21_000 + 3 + 2_600


def test_the_target_of_a_called_delegation_is_warm() -> None:
    """The recipient's delegation target is loaded by the transaction itself."""
    more = {
        CONTRACT: account(code=BALANCE_OF % CONTRACT),
        DAVE: account(nonce=1, code=delegation(CONTRACT)),
    }
    result, _ = execute(signed(to=DAVE, gas=50_000, value=0), more=more)
    assert result.gas_used == 21_000 + 3 + 100


def test_a_contract_cannot_be_an_authority() -> None:
    """Code that is not a delegation is never replaced."""
    tx = set_code(authorization(KEYS[3], CONTRACT), to=NOBODY, value=0)
    _, after = execute(tx, more={DAVE: account(code=RETURN_42)})
    assert code_of(after, DAVE) == RETURN_42


def test_the_zero_address_ends_a_delegation() -> None:
    """Chain id 0 is valid everywhere; delegating to zero removes the code."""
    tx = set_code(
        authorization(KEYS[3], Address(bytes(20)), chain_id=0, nonce=4), to=NOBODY, value=0
    )
    _, after = execute(tx, more={DAVE: account(nonce=4, code=delegation(CONTRACT))})
    assert code_of(after, DAVE) == b""
    authority = after.account(DAVE)
    assert authority is not None
    assert authority.nonce == 5


def test_a_delegated_sender_may_send_and_its_own_creation_is_charged_once() -> None:
    """EIP-3607 lets delegations pass; CREATE in the sender's code pays initcode words once."""
    creating = bytes.fromhex("6020 5f5f f0 00".replace(" ", ""))
    plain = {CONTRACT: account(code=creating)}
    own = {**plain, ALICE: account(ETHER, code=delegation(CONTRACT))}
    through_self, _ = execute(signed(to=ALICE, gas=200_000, value=0), more=own)
    direct, _ = execute(signed(to=CONTRACT, gas=200_000, value=0), more=plain)
    assert through_self.receipts[0].status == 1
    assert through_self.gas_used - direct.gas_used == 0


def test_the_authority_is_set_before_a_revert_and_stays() -> None:
    """EIP-7702: authorizations are not undone by the execution's failure."""
    tx = set_code(authorization(KEYS[3], CONTRACT), to=CONTRACT, value=0)
    result, after = execute(tx, more=contract(reverting(b"")))
    assert result.receipts[0].status == 0
    assert code_of(after, DAVE) == delegation(CONTRACT)
