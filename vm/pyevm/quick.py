"""Precompiles that compute what py-evm's compute, faster; the plain engine keeps py-evm's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import eth.precompiles

from vm.pyevm import bls, bn254
from vm.pyevm.blake2 import blake2f

slow: Any = eth.precompiles
Key = TypeVar("Key")


def quicker(precompiles: Mapping[Key, Callable[..., Any]]) -> dict[Key, Callable[..., Any]]:
    """Return the precompiles with the quick ones in the place of py-evm's."""
    found = bn254.quicker(bls.quicker(precompiles))
    return {key: blake2f if each is slow.blake2b_fcompress else each for key, each in found.items()}
