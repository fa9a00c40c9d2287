"""Where the public test vectors are: the folder named by the environment variable QENEX_VECTORS.

A test that needs them skips with a printed reason when the variable is unset or the folder is
absent (a plain clone), but fails under CI=true, where their absence is a mistake.
"""

import json
import os
from pathlib import Path
from typing import Any, NoReturn

import pytest


def vectors(*parts: str) -> Path:
    """Return the path of a file or folder of the vectors; skips, or fails under CI=true."""
    root = os.environ.get("QENEX_VECTORS")
    if not root:
        _missing("the environment variable QENEX_VECTORS is not set")
    path = Path(root).joinpath(*parts)
    if not path.exists():
        _missing(f"{path} does not exist (QENEX_VECTORS={root})")
    return path


def load_cases(path: Path) -> dict[str, Any]:
    """Return the JSON object in `path`: case name -> case."""
    cases = json.loads(path.read_bytes())
    assert isinstance(cases, dict)
    return cases


def from_hex(text: str) -> bytes:
    """Return the bytes of a hexadecimal string with or without 0x."""
    return bytes.fromhex(text.removeprefix("0x"))


def _missing(reason: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(f"public test vectors: {reason}")
    pytest.skip(f"public test vectors: {reason}", allow_module_level=True)
