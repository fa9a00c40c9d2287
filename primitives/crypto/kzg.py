"""KZG commitments over BLS12-381, to verify an evaluation of a blob's polynomial (EIP-4844).

Backed by c-kzg. Reading the trusted setup takes about 1.7 s of CPU, so it is kept; a check takes
about 1 ms after that.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import ckzg


def is_evaluation(setup: str, commitment: bytes, z: bytes, y: bytes, proof: bytes) -> bool:
    """True when `proof` shows that the committed polynomial is `y` at `z`.

    `setup` is the path of the trusted setup in c-kzg's text form. False also for bytes that are
    no points or no field elements.
    """
    try:
        return bool(ckzg.verify_kzg_proof(commitment, z, y, proof, _load(setup)))
    except RuntimeError:
        return False


@cache
def _load(path: str) -> Any:
    return ckzg.load_trusted_setup(path, 0)
