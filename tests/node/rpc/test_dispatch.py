"""JSON-RPC 2.0 to the letter, and nothing that a caller sends breaks the server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.rpc.methods import all_methods
from node.rpc.settings import RpcSettings
from tests.node.rpc.devchain import DevChain
from tests.node.rpc.harness import Rpc

CHAIN_ID = "0x4f24"


@pytest.fixture(scope="module")
def shared() -> Iterator[Rpc]:
    """A dispatcher for tests that change nothing."""
    made = Rpc(DevChain(), RpcSettings(batch_items_max=20, json_depth_max=16))
    yield made
    made.close()


def _ask(rpc: Rpc, **fields: object) -> Any:
    return rpc.send(json.dumps({"jsonrpc": "2.0", "method": "eth_chainId", **fields}).encode())


@pytest.mark.parametrize("request_id", [1, 0, -7, 2**70, "abc", "", None, 1.5, "\ud800"])
def test_ids_come_back_unchanged(shared: Rpc, request_id: object) -> None:
    """An id of any legal kind is in the answer as it was in the request."""
    assert _ask(shared, id=request_id) == {"jsonrpc": "2.0", "id": request_id, "result": CHAIN_ID}


@pytest.mark.parametrize("request_id", [True, [], {}, [1]])
def test_other_ids_are_invalid_requests(shared: Rpc, request_id: object) -> None:
    """An id that is no string, number or null is refused, with id null."""
    answer = _ask(shared, id=request_id)
    assert answer["id"] is None
    assert answer["error"] == {"code": -32600, "message": "invalid request"}


def test_a_request_without_an_id_gets_no_answer(shared: Rpc) -> None:
    """Notifications are silent, even when they fail, alone and in a batch."""
    assert _ask(shared) is None
    assert _ask(shared, method="nonsense") is None
    assert shared.send(b'[{"jsonrpc":"2.0","method":"eth_chainId"}]') is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nonsense",
        b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId"} x',
        b'{"jsonrpc":"2.0","id":NaN,"method":"eth_chainId"}',
        b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[Infinity]}',
        b'{"jsonrpc":"2.0","id":1,"id":2,"method":"eth_chainId"}',
        b'{"jsonrpc":"2.0","id":1,"method":"eth_call","params":[{"to":"0x","to":"0x"}]}',
        b"\xff\xfe",
        "{}".encode("utf-16"),
        b"[" * 17 + b"]" * 17,
        b"[" * 100_000,
        b'{"jsonrpc":"2.0","id":1' + b"0" * 5_000 + b"}",
    ],
)
def test_what_is_no_json_is_a_parse_error(shared: Rpc, body: bytes) -> None:
    """Broken text, NaN, duplicate keys and deep nesting are -32700 with id null."""
    answer = shared.send(body)
    assert answer == {
        "jsonrpc": "2.0",
        "id": None,
        "error": {"code": -32700, "message": "parse error"},
    }


def test_brackets_in_strings_are_no_depth(shared: Rpc) -> None:
    """Only structure counts as depth, not text."""
    text = "[" * 50 + '\\"' + "{" * 50
    answer = _ask(shared, id=text)
    assert answer["id"] == text


@pytest.mark.parametrize(
    "value",
    [
        1,
        "x",
        None,
        True,
        {},
        {"jsonrpc": "1.0", "id": 1, "method": "eth_chainId"},
        {"jsonrpc": "2.0", "method": 1},
        {"id": 1, "method": "eth_chainId"},
    ],
)
def test_what_is_no_request_is_invalid(shared: Rpc, value: object) -> None:
    """JSON that is no JSON-RPC 2.0 request is -32600."""
    assert shared.send(json.dumps(value).encode())["error"]["code"] == -32600


def test_a_batch_is_answered_in_order_with_its_errors(shared: Rpc) -> None:
    """Calls, errors and rubbish of one batch get their own answers; notifications get none."""
    body = [
        {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId"},
        {"jsonrpc": "2.0", "method": "eth_chainId"},
        {"jsonrpc": "2.0", "id": 2, "method": "nonsense"},
        7,
        {"jsonrpc": "2.0", "id": "x", "method": "net_version", "params": []},
    ]
    answers = shared.send(json.dumps(body).encode())
    assert [each["id"] for each in answers] == [1, 2, None, "x"]
    assert [each.get("error", {}).get("code") for each in answers] == [None, -32601, -32600, None]


def test_empty_and_oversized_batches_are_one_error(shared: Rpc) -> None:
    """An empty batch, or one above the limit, is answered by one object."""
    assert shared.send(b"[]")["error"]["code"] == -32600
    item = b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}'
    assert len(shared.send(b"[" + b",".join([item] * 20) + b"]")) == 20
    answer = shared.send(b"[" + b",".join([item] * 21) + b"]")
    assert answer["error"] == {"code": -32600, "message": "batch too large"}


def test_parameters_go_by_position(shared: Rpc) -> None:
    """Named, missing, surplus and wrong parameters are -32602 and say which."""
    address = "0x" + "11" * 20

    def error(method: str, params: object) -> tuple[int, str]:
        answer = _ask(shared, id=1, method=method, params=params)
        return answer["error"]["code"], answer["error"]["message"]

    named = error("eth_getBalance", {"address": address})
    assert named == (-32602, "non-array args: parameters go by position, not by name")
    assert error("eth_getBalance", []) == (-32602, "missing value for required argument 0")
    assert error("eth_chainId", [1]) == (-32602, "too many arguments, want at most 0")
    assert error("eth_getBalance", [address[:-2]]) == (
        -32602,
        "invalid argument 0: hex string has length 38, want 40 for address",
    )
    code, message = error("eth_getBalance", [address, "newest"])
    assert (code, message[:18]) == (-32602, "invalid argument 1")
    assert "result" in _ask(shared, id=1, method="eth_getBalance", params=[address])
    assert "result" in _ask(shared, id=1, method="eth_getBalance", params=[address, None])
    assert "result" in _ask(shared, id=1, method="eth_chainId", params=None)


def test_unknown_methods_are_named(shared: Rpc) -> None:
    """-32601 in geth's words; wallets probe for methods by it."""
    answer = _ask(shared, id=1, method="anvil_nodeInfo")
    assert answer["error"] == {
        "code": -32601,
        "message": "the method anvil_nodeInfo does not exist/is not available",
    }


def test_large_responses_are_refused() -> None:
    """Above the response limit a single answer, or the rest of a batch, is -32003."""
    rpc = Rpc(DevChain(), RpcSettings(response_bytes_max=2_500))
    block = {"jsonrpc": "2.0", "id": 1, "method": "eth_getBlockByNumber", "params": ["latest"]}
    small = {**block, "method": "eth_chainId", "params": []}
    answers = rpc.send(json.dumps([small, block, block, small]).encode())
    single = rpc.send(json.dumps(block).encode())
    rpc.close()
    assert "result" in single
    codes = [each.get("error", {}).get("code") for each in answers]
    assert codes == [None, None, -32003, -32003]
    tiny = Rpc(DevChain(), RpcSettings(response_bytes_max=200))
    assert tiny.error("eth_getBlockByNumber", "latest") == (-32003, "response too large")
    tiny.close()


class _Broken(DevChain):
    def peer_count(self) -> int:
        raise ZeroDivisionError("a secret of the inside")


def test_a_surprise_is_an_internal_error_without_details(capfd: pytest.CaptureFixture[str]) -> None:
    """A bug in a method answers -32603 and shows nothing of the inside to the caller."""
    rpc = Rpc(_Broken())
    assert rpc.error("net_peerCount") == (-32603, "internal error")
    rpc.close()


_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12)
    | st.sampled_from(
        ["latest", "pending", "0x", "0x0", "0x1", "0x" + "11" * 20, "0x" + "22" * 32]
    ),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "from",
                    "to",
                    "data",
                    "input",
                    "gas",
                    "value",
                    "gasPrice",
                    "address",
                    "topics",
                    "fromBlock",
                    "toBlock",
                    "blockHash",
                    "blockNumber",
                    "accessList",
                    "x",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)
_fast = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
# These two wait or fill memory by design; their own tests bound them.
_METHODS = sorted(set(all_methods()) - {"eth_sendRawTransactionSync"})


@_fast
@given(st.binary(max_size=200) | _json.map(lambda value: json.dumps(value).encode()))
def test_garbage_gets_an_error_and_no_surprise(shared: Rpc, body: bytes) -> None:
    """Any bytes are answered by JSON-RPC errors, never by an internal one."""
    answer = shared.send(body)
    for each in answer if isinstance(answer, list) else [answer]:
        assert each["jsonrpc"] == "2.0"
        assert each["error"]["code"] in (-32700, -32600)


@_fast
@given(st.sampled_from(_METHODS), st.lists(_json, max_size=4))
def test_no_parameters_surprise_a_method(shared: Rpc, method: str, params: list[Any]) -> None:
    """Every method answers any parameters by a result or a typed error.

    Planted bug it kills: a parser that indexes into a value of the wrong type.
    """
    answer = shared.ask(method, *params)
    assert answer["id"] == 1
    if "error" in answer:
        assert answer["error"]["code"] != -32603, answer
