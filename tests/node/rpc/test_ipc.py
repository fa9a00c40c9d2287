"""JSON-RPC over a Unix socket: framing, privacy of the file, web3.py, subscriptions."""

from __future__ import annotations

import json
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from web3 import IPCProvider, Web3

from node.rpc.ipc import Framer, TooLarge
from node.rpc.server import RpcServer
from node.rpc.settings import RpcSettings
from primitives.errors import ConfigError
from tests.node.rpc.devchain import DevChain, funded_keys
from tests.node.rpc.harness import sign

CHEAP = b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}'
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=6,
)
WHOLE = st.lists(JSON, max_size=4) | st.dictionaries(st.text(), JSON, max_size=4)


@settings(max_examples=25)
@given(
    st.lists(
        st.tuples(WHOLE, st.booleans(), st.sampled_from([b"", b" ", b"\n", b"\r\n\t"])), max_size=6
    ),
    st.lists(st.integers(0, 400), max_size=20),
)
def test_values_are_cut_where_they_end(
    values: list[tuple[Any, bool, bytes]], cuts: list[int]
) -> None:
    """However the stream is cut, the values come out whole, once and in order.

    Kills: brackets counted inside strings, an escape cut in two, a value held until the next.
    """
    stream = b"".join(
        json.dumps(value, ensure_ascii=is_ascii).encode() + space
        for value, is_ascii, space in values
    )
    framer, found, at = Framer(1 << 20), [], 0
    for cut in [*sorted(each % (len(stream) + 1) for each in cuts), len(stream)]:
        found += framer.feed(stream[at:cut])
        at = max(at, cut)
    assert [json.loads(each) for each in found] == [value for value, _, _ in values]


@given(st.lists(st.binary(max_size=40)))
def test_garbage_never_breaks_the_framer(parts: list[bytes]) -> None:
    """Whatever comes, what is held is bounded and nothing else is raised."""
    framer = Framer(100)
    for part in parts:
        try:
            assert all(len(each) <= 100 for each in framer.feed(part))
        except TooLarge:
            return


def test_a_value_at_the_limit_and_one_above() -> None:
    """The limit holds for whole values and for those that never end."""
    assert Framer(10).feed(b"[" + b" " * 8 + b"]") == [b"[" + b" " * 8 + b"]"]
    with pytest.raises(TooLarge):
        Framer(10).feed(b"[" + b" " * 9 + b"]")
    framer = Framer(10)
    framer.feed(b'["' + b"a" * 8)
    with pytest.raises(TooLarge):
        framer.feed(b"a")


@pytest.fixture
def chain() -> DevChain:
    """The chain that is served."""
    return DevChain()


@pytest.fixture
def path(tmp_path: Path, chain: DevChain) -> Iterator[Path]:
    """A served socket."""
    path = tmp_path / "qenex.ipc"
    server = RpcServer(chain, RpcSettings(port=0, ipc=str(path), body_bytes_max=20_000))
    server.start()
    yield path
    server.stop()
    assert not path.exists()


def _connect(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(5)
    connection.connect(str(path))
    return connection


@pytest.mark.process
def test_only_this_user_can_open_it(path: Path) -> None:
    """The file has mode 0600 whatever the umask."""
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.process
def test_web3_py_works_over_it(path: Path) -> None:
    """web3.py's IPCProvider reads, batches and sends."""
    web3 = Web3(IPCProvider(path))
    assert web3.eth.chain_id == 20_260
    sent = web3.eth.send_raw_transaction(sign(funded_keys(1)[0], 0))
    assert web3.eth.wait_for_transaction_receipt(sent)["status"] == 1
    with web3.batch_requests() as batch:
        batch.add(web3.eth.get_block(0))
        batch.add(web3.eth.get_block(1))
        blocks: list[Any] = list(batch.execute())
    assert [each["number"] for each in blocks] == [0, 1]
    web3.provider._socket.sock.close()  # type: ignore[attr-defined]


@pytest.mark.process
def test_requests_without_newlines_and_garbage(path: Path) -> None:
    """Values may touch each other; garbage is a parse error and the next line goes on."""
    with _connect(path) as connection, connection.makefile("rb") as lines:
        connection.sendall(CHEAP + CHEAP + b"garbage\n" + b"[" + CHEAP + b"]")
        answers = [json.loads(lines.readline()) for _ in range(4)]
        kinds = sorted(
            "batch" if isinstance(a, list) else "error" if "error" in a else "ok" for a in answers
        )
        assert kinds == ["batch", "error", "ok", "ok"]
        connection.sendall(b"[" * 20_001)
        assert json.loads(lines.readline())["error"]["message"] == "request too large"
        assert lines.readline() == b""


@pytest.mark.process
def test_subscriptions(path: Path, chain: DevChain) -> None:
    """A subscription brings notices as over WebSocket."""
    body = {"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["newHeads"]}
    with _connect(path) as connection, connection.makefile("rb") as lines:
        connection.sendall(json.dumps(body).encode())
        name = json.loads(lines.readline())["result"]
        chain.mine()
        notice = json.loads(lines.readline())["params"]
        assert (notice["subscription"], notice["result"]["number"]) == (name, "0x1")


@pytest.mark.process
def test_files_in_the_way(tmp_path: Path, chain: DevChain) -> None:
    """A socket left behind is replaced; a live one, another file and a long path stop the start."""
    old = tmp_path / "old.ipc"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as left:
        left.bind(str(old))
    server = RpcServer(chain, RpcSettings(port=0, ipc=str(old)))
    server.start()
    for wrong, words in (
        (old, "another program listens"),
        (tmp_path / "plain", "is no socket"),
        (tmp_path / ("x" * 100), "at most 107 bytes"),
        (tmp_path / "no" / "folder", "cannot listen"),
    ):
        (tmp_path / "plain").touch()
        with pytest.raises(ConfigError, match=words):
            RpcServer(chain, RpcSettings(port=0, ipc=str(wrong))).start()
    server.stop()
