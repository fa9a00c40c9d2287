"""Words give the keys that every wallet derives from them, and messages the digests they sign.

A planted bug that these kill: the last step of the path hardened, as the ones before it.
"""

from __future__ import annotations

import pytest
from eth_account import Account
from eth_account.messages import encode_defunct

from genesis.profiles import TEST_KEYS, TEST_MNEMONIC
from primitives.crypto.messages import personal_digest, typed_digest
from primitives.crypto.mnemonic import keys_of
from primitives.errors import InvalidRequest

Account.enable_unaudited_hdwallet_features()
WORDS = "legal winner thank year wave sausage worth useful legal winner thank yellow"


def test_the_mnemonic_that_everybody_knows() -> None:
    """Its first ten accounts are those of every network for development."""
    found = {each.address: each.raw for each in keys_of(TEST_MNEMONIC, 10)}
    assert found == dict(TEST_KEYS)


def test_keys_are_those_of_other_wallets() -> None:
    """eth_account derives the same, whatever the spacing of the words."""
    ours = keys_of(f"  {WORDS.replace(' ', '  ')} ", 3)
    theirs = [Account.from_mnemonic(WORDS, account_path=f"m/44'/60'/0'/0/{n}") for n in range(3)]
    assert [each.raw for each in ours] == [bytes(each.key) for each in theirs]
    assert keys_of(WORDS, 0) == []


def test_personal_digest_is_signed_by_wallets() -> None:
    """A wallet's signature of a message is one over our digest of it."""
    key = keys_of(WORDS, 1)[0]
    theirs = Account.sign_message(encode_defunct(b"hello"), key.raw)
    signature = key.sign(personal_digest(b"hello"))
    assert signature[:64] == theirs.signature[:64]


@pytest.mark.parametrize("wrong", [{}, {"types": {}}, {"types": 1, "domain": 2}])
def test_wrong_typed_data_is_refused(wrong: dict[str, object]) -> None:
    """What is not typed data is an InvalidRequest, whatever it is."""
    with pytest.raises(InvalidRequest):
        typed_digest(wrong)
