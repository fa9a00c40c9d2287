"""The plain ERC-20 on the real engine: balances, allowances, events and ERC-6093 errors."""

from __future__ import annotations

import pytest
from eth_abi.abi import encode
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts import artifact
from primitives.types import UINT256_MAX, ZERO_ADDRESS, Address
from tests.contracts.chain import Chain, Deployed, Reverted, hex_address

OWNER, FRIEND, OTHER = (Address(bytes([i]) * 20) for i in (1, 2, 3))
SUPPLY = 1_000


def token(supply: int = SUPPLY) -> Deployed:
    chain = Chain({})
    arguments = encode(["string", "string", "uint256"], ["Coin", "CN", supply])
    logs, _ = chain.send(None, artifact("ERC20").bytecode + arguments, OWNER)
    assert chain.created is not None
    assert len(logs) == 1
    return Deployed(chain, "ERC20", chain.created)


def test_constructor() -> None:
    """The creator holds the supply; name, symbol and decimals are readable."""
    coin = token()
    assert coin.read("balanceOf", OWNER) == coin.read("totalSupply") == SUPPLY
    assert (coin.read("name"), coin.read("symbol"), coin.read("decimals")) == ("Coin", "CN", 18)


def test_transfer() -> None:
    """A transfer moves the amount and tells it, also when it is everything or nothing."""
    coin = token()
    for value in (400, 600, 0):
        events = coin.send(OWNER, "transfer", FRIEND, value)
        fields = {"from": hex_address(OWNER), "to": hex_address(FRIEND), "value": value}
        assert events == [("Transfer", fields)]
    assert (coin.read("balanceOf", OWNER), coin.read("balanceOf", FRIEND)) == (0, SUPPLY)


def test_transfer_to_self() -> None:
    """A transfer to oneself changes no balance. Kills: reading both balances before writing."""
    coin = token()
    coin.send(OWNER, "transfer", OWNER, SUPPLY)
    assert coin.read("balanceOf", OWNER) == SUPPLY


def test_cannot_overspend() -> None:
    """One more than the balance is refused with the facts."""
    with pytest.raises(Reverted) as caught:
        token().send(OWNER, "transfer", FRIEND, SUPPLY + 1)
    assert caught.value.error == "ERC20InsufficientBalance"
    assert caught.value.values == (hex_address(OWNER), SUPPLY, SUPPLY + 1)


def test_nobody_is_the_zero_address() -> None:
    """Neither tokens nor allowances go to the zero address."""
    with pytest.raises(Reverted, match="ERC20InvalidReceiver"):
        token().send(OWNER, "transfer", ZERO_ADDRESS, 1)
    with pytest.raises(Reverted, match="ERC20InvalidSpender"):
        token().send(OWNER, "approve", ZERO_ADDRESS, 1)


def test_allowance() -> None:
    """A spender takes what it was allowed and not one more; the allowance shrinks."""
    coin = token()
    with pytest.raises(Reverted, match="ERC20InsufficientAllowance"):
        coin.send(FRIEND, "transferFrom", OWNER, OTHER, 1)
    assert coin.send(OWNER, "approve", FRIEND, 100)[0][0] == "Approval"
    coin.send(FRIEND, "transferFrom", OWNER, OTHER, 60)
    assert coin.read("allowance", OWNER, FRIEND) == 40
    with pytest.raises(Reverted) as caught:
        coin.send(FRIEND, "transferFrom", OWNER, OTHER, 41)
    assert caught.value.values == (hex_address(FRIEND), 40, 41)
    coin.send(FRIEND, "transferFrom", OWNER, OTHER, 40)
    assert coin.read("balanceOf", OTHER) == 100


def test_endless_allowance() -> None:
    """The greatest allowance never shrinks; the balance still bounds it."""
    coin = token()
    coin.send(OWNER, "approve", FRIEND, UINT256_MAX)
    coin.send(FRIEND, "transferFrom", OWNER, OTHER, SUPPLY)
    assert coin.read("allowance", OWNER, FRIEND) == UINT256_MAX
    with pytest.raises(Reverted, match="ERC20InsufficientBalance"):
        coin.send(FRIEND, "transferFrom", OWNER, OTHER, 1)


people = st.sampled_from([OWNER, FRIEND, OTHER])


@settings(max_examples=10, deadline=None)
@given(st.lists(st.tuples(people, people, st.integers(0, UINT256_MAX)), max_size=12))
def test_supply_is_kept(steps: list[tuple[Address, Address, int]]) -> None:
    """No sequence of transfers makes or loses a token, even with the greatest supply."""
    coin = token(UINT256_MAX)
    model = {OWNER: UINT256_MAX, FRIEND: 0, OTHER: 0}
    for sender, receiver, value in steps:
        try:
            coin.send(sender, "transfer", receiver, value)
        except Reverted:
            assert value > model[sender]
            continue
        model[sender] -= value
        model[receiver] += value
    assert {each: coin.read("balanceOf", each) for each in model} == model
    assert sum(model.values()) == UINT256_MAX
