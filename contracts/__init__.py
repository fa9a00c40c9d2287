"""The contracts of QENEX: Solidity sources in `src/`, what they compile to in `artifacts/`.

The artifacts are committed and shipped, so that nobody needs a compiler to run a node. They are
made by `npm ci && npm run build` in this folder (solc and every setting are pinned in
`build.mjs`); a test builds them anew where Node is present and compares every byte.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from primitives.errors import ConfigError

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Artifact:
    """What one contract compiles to. `bytecode` creates it, `deployed_bytecode` runs on chain.

    `abi` and `storage_layout` are the compiler's JSON and must be treated as read-only;
    `input_sha256` names the standard-JSON input that made all of it.
    """

    name: str
    abi: Sequence[Mapping[str, Any]]
    bytecode: bytes
    deployed_bytecode: bytes
    storage_layout: Mapping[str, Any]
    compiler: Mapping[str, Any]
    input_sha256: str


@cache
def artifact(name: str) -> Artifact:
    """Return the artifact of contract `name`; raises ConfigError when there is none."""
    entry = files(__name__).joinpath("artifacts", f"{name}.json")
    if not _NAME.fullmatch(name) or not entry.is_file():
        raise ConfigError(f"no contract {name!r}; there are: {', '.join(names())}", name=name)
    return load(entry)


def load(entry: Traversable) -> Artifact:
    """Return the artifact in a file that `build.mjs` wrote."""
    raw = json.loads(entry.read_text(encoding="utf-8"))
    return Artifact(
        name=raw["contractName"],
        abi=raw["abi"],
        bytecode=bytes.fromhex(raw["bytecode"].removeprefix("0x")),
        deployed_bytecode=bytes.fromhex(raw["deployedBytecode"].removeprefix("0x")),
        storage_layout=raw["storageLayout"],
        compiler=raw["compiler"],
        input_sha256=raw["inputSha256"],
    )


def names() -> list[str]:
    """Return the names of all contracts, in order."""
    folder = files(__name__).joinpath("artifacts")
    return sorted(e.name.removesuffix(".json") for e in folder.iterdir() if e.is_file())
