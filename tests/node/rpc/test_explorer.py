"""The explorer: its pages are served with a strict policy, and it decodes what the ABI encodes."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import encode

from node.explorer import explorer_pages, known_signatures
from node.rpc.server import RpcServer
from node.rpc.settings import RpcSettings
from tests.node.rpc.conftest import Served
from tests.node.rpc.devchain import DevChain
from tests.node.rpc.harness import http_request

DECODER = Path(__file__).with_name("decode.mjs")
CASES = 400
LEAVES = ["uint256", "int256", "uint8", "int16", "address", "bool", "bytes", "string", "bytes4"]


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/explorer", "text/html; charset=utf-8"),
        ("/explorer/", "text/html; charset=utf-8"),
        ("/explorer/app.js", "text/javascript; charset=utf-8"),
        ("/explorer/style.css", "text/css; charset=utf-8"),
        ("/explorer/signatures.json", "application/json"),
    ],
)
def test_pages_are_served_with_their_policy(served: Served, path: str, kind: str) -> None:
    """Each page has its type and the policy that lets in nothing from elsewhere."""
    reply = http_request(served.port, "GET", path)
    assert (reply.status, reply.headers["content-type"]) == (200, kind)
    assert reply.body == explorer_pages()[path].body
    policy = reply.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self';")
    assert "unsafe" not in policy
    head = http_request(served.port, "HEAD", path)
    assert (head.status, head.body) == (200, b"")


@pytest.mark.parametrize(
    "path", ["/explorer/__init__.py", "/explorer/../app.py", "/explorer/none.js", "/explorers"]
)
def test_nothing_else_is_served(served: Served, path: str) -> None:
    """Only the pages themselves are there, whatever else lies in the folder."""
    assert http_request(served.port, "GET", path).status == 404


def test_it_can_be_switched_off() -> None:
    """With `explorer` off there is no such page, and / does not name it."""
    server = RpcServer(DevChain(), RpcSettings(port=0, explorer=False))
    port = server.start()
    try:
        assert http_request(port, "GET", "/explorer").status == 404
        assert "/explorer" not in json.loads(http_request(port, "GET").body)["pages"]
    finally:
        server.stop()


def test_signatures_are_those_of_the_standards() -> None:
    """Well-known selectors and topics of ERC-20, and each fixed address has its name."""
    known = known_signatures()
    transfer = known["functions"]["0xa9059cbb"]
    assert (transfer["name"], [each["type"] for each in transfer["inputs"]]) == (
        "transfer",
        ["address", "uint256"],
    )
    topic = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
    (event,) = known["events"][topic]
    assert [each.get("indexed", False) for each in event["inputs"]] == [True, True, False]
    assert known["contracts"]["0x" + "0" * 36 + "1001"] == "ValidatorRegistry"


def _parameter(chance: random.Random, depth: int) -> dict[str, Any]:
    """Return a random parameter, as an ABI has it."""
    made: dict[str, Any] = {"name": "x", "type": chance.choice(LEAVES)}
    if depth and chance.random() < 0.3:
        made["type"] = "tuple"
        made["components"] = [_parameter(chance, depth - 1) for _ in range(chance.randint(1, 3))]
    while depth and chance.random() < 0.25:
        made["type"] += chance.choice(["[]", "[2]", "[3]"])
    return made


def _name(parameter: dict[str, Any]) -> str:
    kind: str = parameter["type"]
    if not kind.startswith("tuple"):
        return kind
    return f"({','.join(map(_name, parameter['components']))}){kind[5:]}"


def _value(chance: random.Random, parameter: dict[str, Any]) -> tuple[Any, Any]:
    """Return a random value as eth_abi takes it and as the decoder gives it."""
    kind: str = parameter["type"]
    if kind.endswith("]"):
        inner, _, size = kind[:-1].rpartition("[")
        count = int(size) if size else chance.randint(0, 3)
        return _values(chance, [parameter | {"type": inner}] * count)
    if kind == "tuple":
        return _values(chance, parameter["components"])
    if kind == "bool":
        flag = chance.random() < 0.5
        return flag, flag
    if kind == "string":
        text = chance.choice(["", "QENEX", "é中😀" * 15])
        return text, text
    if "int" in kind:
        bits = int(kind.removeprefix("u").removeprefix("int"))
        low = 0 if kind.startswith("u") else -(2 ** (bits - 1))
        number = chance.randrange(low, low + 2**bits)
        return number, str(number)
    length = 20 if kind == "address" else chance.randint(0, 70) if kind == "bytes" else 4
    raw = chance.randbytes(length)
    return ("0x" + raw.hex() if kind == "address" else raw), "0x" + raw.hex()


def _values(chance: random.Random, parameters: list[dict[str, Any]]) -> tuple[Any, Any]:
    pairs = [_value(chance, each) for each in parameters]
    return tuple(given for given, _ in pairs), [shown for _, shown in pairs]


def _decode(cases: list[dict[str, Any]]) -> list[Any]:
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node.js is not installed")
    lines = "\n".join(map(json.dumps, cases))
    done = subprocess.run([node, DECODER], input=lines, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.process
def test_the_page_decodes_what_the_abi_encodes() -> None:
    """Random types and values, nested, come back as they were; cut data is no value at all."""
    chance = random.Random(20260)
    cases, wanted = [], []
    for _ in range(CASES):
        parameters = [_parameter(chance, 3) for _ in range(chance.randint(1, 4))]
        given, shown = _values(chance, parameters)
        data = encode([_name(each) for each in parameters], given)
        cases.append({"parameters": parameters, "data": "0x" + data.hex()})
        wanted.append(shown)
    assert _decode(cases) == wanted
    cut = [each | {"data": each["data"][:-64]} for each in cases if len(each["data"]) > 66]
    kept = [found for found in _decode(cut) if found is not None]
    assert len(kept) < len(cut) / 20  # empty values at the end may be left out by some


@pytest.mark.process
def test_data_that_means_harm_is_no_value() -> None:
    """Huge counts, offsets beyond the data and bombs of nested arrays end at once."""
    word = "{:064x}".format
    layer = word(60) + word(60 * 32) * 60  # sixty arrays that all lie at the same place
    hostile = [
        ("uint256[]", word(32) + word(2**255)),
        ("bytes", word(2**200)),
        ("string", word(32) + word(100) + word(0)),
        ("uint256[][][][][]", word(32) + layer * 4 + word(0)),
        ("uint256[1000000000]", word(1)),
    ]
    cases = [
        {"parameters": [{"name": "", "type": kind}], "data": "0x" + data} for kind, data in hostile
    ]
    assert _decode(cases) == [None] * len(cases)
