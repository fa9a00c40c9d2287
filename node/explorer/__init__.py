"""The explorer: a page that reads the chain by JSON-RPC from the node that serves it.

Plain HTML, CSS and JavaScript modules: no build step, no library, nothing from elsewhere, which the
content security policy enforces. Text from the chain becomes text nodes, never markup. To decode
calls, logs and errors the page takes the signatures of this package's contracts from
`/explorer/signatures.json`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

from contracts import artifact, names
from contracts.addresses import STANDARD
from primitives.crypto.keccak import keccak
from primitives.params import (
    ACCOUNT_PERMISSIONS,
    EVIDENCE_VERIFIER,
    NODE_REGISTRY,
    VALIDATOR_REGISTRY,
)

TYPES: Final = {
    "html": b"text/html; charset=utf-8",
    "css": b"text/css; charset=utf-8",
    "js": b"text/javascript; charset=utf-8",
    "json": b"application/json",
}

PAGE_HEADERS: Final = (
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        b"img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-cache"),
)

CONTRACTS: Final = {
    VALIDATOR_REGISTRY: "ValidatorRegistry",
    EVIDENCE_VERIFIER: "EvidenceVerifier",
    NODE_REGISTRY: "NodeRegistry",
    ACCOUNT_PERMISSIONS: "AccountPermissions",
}
"""The names that the page shows in place of these addresses, beside the standard contracts'."""


@dataclass(frozen=True, slots=True)
class Page:
    """What a GET of one path answers."""

    content_type: bytes
    body: bytes


@cache
def explorer_pages() -> Mapping[str, Page]:
    """Return every page of the explorer by its path."""
    found = {}
    for entry in files(__name__).iterdir():
        kind = entry.name.rpartition(".")[2]
        if kind in TYPES:
            found[f"/explorer/{entry.name}"] = Page(TYPES[kind], entry.read_bytes())
    found["/explorer"] = found["/explorer/"] = found["/explorer/index.html"]
    signatures = json.dumps(known_signatures(), separators=(",", ":"))
    found["/explorer/signatures.json"] = Page(TYPES["json"], signatures.encode())
    return found


def known_signatures() -> dict[str, dict[str, Any]]:
    """Return functions, events and errors of all contracts, and the names of fixed addresses.

    Functions and errors by 4-byte selector, events by topic; one topic may have several forms,
    which differ in what is indexed. Source: Solidity, "Contract ABI Specification".
    """
    functions: dict[str, Any] = {}
    errors: dict[str, Any] = {}
    events: dict[str, list[Any]] = {}
    for name in names():
        for entry in artifact(name).abi:
            if entry["type"] not in ("function", "error", "event"):
                continue
            digest = keccak(_canonical(entry).encode())
            known = {"name": entry["name"], "inputs": _inputs(entry["inputs"])}
            if entry["type"] == "event":
                forms = events.setdefault(f"0x{digest.hex()}", [])
                if known not in forms:
                    forms.append(known)
            else:
                table = functions if entry["type"] == "function" else errors
                table.setdefault(f"0x{digest[:4].hex()}", known)
    named = CONTRACTS | {address: name for name, address in STANDARD.items()}
    contracts = {f"0x{address.hex()}": name for address, name in named.items()}
    return {"functions": functions, "events": events, "errors": errors, "contracts": contracts}


def _canonical(entry: Mapping[str, Any]) -> str:
    return f"{entry['name']}({','.join(map(_type, entry['inputs']))})"


def _type(parameter: Mapping[str, Any]) -> str:
    kind: str = parameter["type"]
    if not kind.startswith("tuple"):
        return kind
    return f"({','.join(map(_type, parameter['components']))}){kind.removeprefix('tuple')}"


def _inputs(parameters: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what decoding needs of the parameters."""
    found = []
    for each in parameters:
        kept: dict[str, Any] = {"name": each["name"], "type": each["type"]}
        if "components" in each:
            kept["components"] = _inputs(each["components"])
        if each.get("indexed"):
            kept["indexed"] = True
        found.append(kept)
    return found
