"""The contracts of QENEX: Solidity sources in `src/`, what they compile to in `artifacts/`.

The artifacts are committed and shipped, so that nobody needs a compiler to run a node. They are
made by `npm ci && npm run build` in this folder (solc is pinned in `build.mjs`, its settings in
`settings.json`); a test builds them anew where Node is present and compares every byte.

`standard_input` gives the standard-JSON input of a contract, which explorers (Sourcify, Blockscout,
Etherscan) take to verify it: our sources with the texts of imported packages, kept in
`artifacts/inputs/libraries.json`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, Final

from primitives.errors import ConfigError

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_OUTPUTS: Final = (
    "abi",
    "evm.bytecode.object",
    "evm.deployedBytecode.object",
    "storageLayout",
)


@dataclass(frozen=True, slots=True)
class Artifact:
    """What one contract compiles to. `bytecode` creates it, `deployed_bytecode` runs on chain.

    `abi` and `storage_layout` are the compiler's JSON and must be treated as read-only;
    `input_sha256` names the standard-JSON input that made all of it, `source` its file in it and
    `sources` every file of it.
    """

    name: str
    source: str
    sources: Sequence[str]
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
        source=raw["source"],
        sources=raw["sources"],
        abi=raw["abi"],
        bytecode=bytes.fromhex(raw["bytecode"].removeprefix("0x")),
        deployed_bytecode=bytes.fromhex(raw["deployedBytecode"].removeprefix("0x")),
        storage_layout=raw["storageLayout"],
        compiler=raw["compiler"],
        input_sha256=raw["inputSha256"],
    )


def standard_input(name: str) -> str:
    """Return the compiler's input for contract `name`, standard JSON, as it was compiled.

    Its SHA-256 is the artifact's `input_sha256`. Source: Solidity documentation, "Compiler Input
    and Output JSON Description". Raises ConfigError when there is no such contract.
    """
    found = artifact(name)
    folder = files(__name__)
    settings = json.loads(folder.joinpath("settings.json").read_text(encoding="utf-8"))
    libraries = json.loads(
        folder.joinpath("artifacts", "inputs", "libraries.json").read_text(encoding="utf-8")
    )
    sources = {
        each: {"content": libraries.get(each) or _own_source(folder, each)}
        for each in found.sources
    }
    chosen = {found.source: {found.name: list(_OUTPUTS)}}
    whole = {
        "language": "Solidity",
        "settings": {
            **settings["default"],
            **settings["contracts"].get(name, {}),
            "outputSelection": chosen,
        },
        "sources": sources,
    }
    return json.dumps(whole, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _own_source(folder: Traversable, name: str) -> str:
    return folder.joinpath("src", name.removeprefix("src/")).read_text(encoding="utf-8")


def names() -> list[str]:
    """Return the names of all contracts, in order."""
    folder = files(__name__).joinpath("artifacts")
    return sorted(e.name.removesuffix(".json") for e in folder.iterdir() if e.is_file())
