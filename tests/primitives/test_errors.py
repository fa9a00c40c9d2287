"""The error tree has one branch for each reaction, and errors carry facts."""

import pytest

from primitives import errors
from primitives.account import Account
from primitives.types import Hash32, Nonce, Wei


def test_every_error_has_one_branch() -> None:
    """Each error is below exactly one of the five branches."""
    branches = {
        errors.Invalid,
        errors.Rejected,
        errors.Unavailable,
        errors.ConfigError,
        errors.Fatal,
    }
    found = [
        each
        for each in vars(errors).values()
        if isinstance(each, type) and issubclass(each, errors.QenexError)
    ]
    assert len(found) > 30
    for each in found:
        if each is not errors.QenexError:
            assert len(branches & set(each.__mro__)) == 1, each


def test_ensure() -> None:
    """`ensure` passes what holds and raises Fatal with facts for what does not."""
    errors.ensure(1, "fine")
    with pytest.raises(errors.Fatal, match="broken") as caught:
        errors.ensure(condition=False, why="broken", height=7)
    assert caught.value.facts == {"height": 7}


def test_empty_accounts() -> None:
    """An account is empty when nonce, balance and code are nothing (EIP-161)."""
    assert Account().is_empty
    assert not Account(nonce=Nonce(1)).is_empty
    assert not Account(balance=Wei(1)).is_empty
    assert not Account(code_hash=Hash32(bytes(32))).is_empty
