"""Who may call what over a running server: tokens, roles, namespaces, listeners, rates."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from node.rpc.server import RpcServer
from node.rpc.settings import Listener, RpcSettings
from primitives.errors import ConfigError
from tests.node.rpc.devchain import DevChain
from tests.node.rpc.harness import Reply, http_request
from tests.node.rpc.test_tokens import signed, write_secret

pytestmark = pytest.mark.process

ROLES = (
    ("reader", ("eth_*", "net_version")),
    ("viewer", ("eth_chainId",)),
    ("operator", ("*",)),
)
SEND = {"jsonrpc": "2.0", "id": 1, "method": "eth_sendRawTransaction", "params": ["0x00"]}
CHEAP = {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId"}
VERSION = CHEAP | {"method": "web3_clientVersion"}
HEAVY = CHEAP | {"method": "debug_getRawBlock", "params": ["0x0"]}


@contextmanager
def serving(**fields: Any) -> Iterator[RpcServer]:
    """A server with these settings, until the block ends."""
    server = RpcServer(DevChain(), RpcSettings(port=0, **fields))
    server.start()
    try:
        yield server
    finally:
        server.stop()


def _token(left_s: float = 60.0, **claims: object) -> str:
    return signed({"exp": time.time() + left_s, "sub": "desk"} | claims)


def _post(server: RpcServer, body: object, token: str = "", place: int = 0) -> Reply:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    raw = json.dumps(body).encode()
    return http_request(server.ports[place], body=raw, headers=headers)


def _error(reply: Reply) -> tuple[int, str]:
    assert reply.status == 200
    error = json.loads(reply.body)["error"]
    return error["code"], error["message"]


def test_tokens_are_asked_for_and_roles_hold(tmp_path: Path) -> None:
    """No token, a wrong and an ended one are 401, one for nothing 403; a method outside the role
    is -32001, in a batch beside answers. Kills: roles looked at for the first call alone.
    """
    with (
        structlog.testing.capture_logs() as logs,
        serving(jwt_secret_file=write_secret(tmp_path), roles=ROLES) as server,
    ):
        none = _post(server, CHEAP)
        assert none.status == 401
        assert none.headers["www-authenticate"] == "Bearer"
        ended, wrong = _token(-60, roles=["operator"]), _token(roles=["operator"]) + "x"
        for bad, words in ((ended, "token expired"), (wrong, "token signature is wrong")):
            refused = _post(server, CHEAP, bad)
            assert (refused.status, json.loads(refused.body)) == (401, {"error": words})
        for roles in ([], ["nobody"]):
            assert _post(server, CHEAP, _token(roles=roles)).status == 403
        reader = _token(roles=["reader", "nobody"])
        assert json.loads(_post(server, CHEAP, reader).body)["result"] == "0x4f24"
        assert _error(_post(server, VERSION, reader)) == (-32001, "unauthorized")
        answers = json.loads(_post(server, [CHEAP, VERSION, CHEAP, HEAVY], reader).body)
        assert ["result" in each for each in answers] == [True, False, True, False]
        assert answers[1]["error"] == answers[3]["error"]
        viewer = _token(roles=["viewer"])
        answers = json.loads(_post(server, [SEND, SEND, CHEAP], viewer).body)
        codes = [each.get("error", {}).get("code") for each in answers]
        assert codes == [-32001, -32001, None]
        assert _error(_post(server, CHEAP | {"method": "no_such"}, reader))[0] == -32001
        operator = _token(roles=["operator"])
        assert "result" in json.loads(_post(server, HEAVY, operator).body)
        for verb, path in (("GET", "/liveness"), ("GET", "/readiness"), ("OPTIONS", "/")):
            assert http_request(server.ports[0], verb, path).status in (200, 204)
        basic = {"Authorization": "Basic abc"}
        assert http_request(server.ports[0], body=b"{}", headers=basic).status == 401
    said = json.dumps(logs, default=str)
    assert all(each not in said for each in (ended, wrong, reader, operator, ended.split(".")[1]))


def test_the_anonymous_role(tmp_path: Path) -> None:
    """Where it is set, callers without a token have it, and a wrong token is still refused."""
    fields = {"jwt_secret_file": write_secret(tmp_path), "roles": ROLES}
    with serving(anonymous_role="reader", **fields) as server:
        assert _post(server, CHEAP).status == 200
        assert _error(_post(server, VERSION)) == (-32001, "unauthorized")
        assert _post(server, CHEAP, "x.y.z").status == 401


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"anonymous_role": "guest", "roles": ROLES}, "rpc.anonymous_role: rpc.roles has no guest"),
        ({"roles": (("a", ("eht_*",)),)}, "rpc.roles: a: no method fits eht_"),
        ({"namespaces": ("eht",)}, "namespace eht is not known"),
        ({"metrics": "127.0.0.1:70000"}, "rpc.metrics: 70000 is no port"),
    ],
)
def test_settings_that_contradict_themselves(fields: dict[str, Any], words: str) -> None:
    """A role, pattern, namespace or port that means nothing stops the start."""
    with pytest.raises(ConfigError, match=words):
        RpcServer(DevChain(), RpcSettings(port=0, **fields)).start()


def test_tokens_without_roles_are_a_mistake(tmp_path: Path) -> None:
    """A key without roles would refuse everybody, so it is said at the start."""
    settings = RpcSettings(port=0, jwt_secret_file=write_secret(tmp_path))
    with pytest.raises(ConfigError, match=r"rpc\.roles: tokens are asked for"):
        RpcServer(DevChain(), settings).start()


def _ask(ws: ClientConnection, body: object) -> Any:
    ws.send(json.dumps(body))
    return json.loads(ws.recv(timeout=5))


@pytest.mark.slow
def test_websockets_need_a_token_and_end_with_it(tmp_path: Path) -> None:
    """The token of the handshake rules every call; at its end the connection is closed."""
    fields = {"jwt_secret_file": write_secret(tmp_path), "roles": ROLES}
    with serving(jwt_leeway_s=0.0, **fields) as server:
        url = f"ws://127.0.0.1:{server.ports[0]}"
        for token, status in (("", 401), (_token(-1), 401), (_token(roles=["x"]), 403)):
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            with pytest.raises(InvalidStatus) as refused, connect(url, additional_headers=headers):
                pass
            assert refused.value.response.status_code == status
        token = _token(2.0, roles=["reader"])
        with connect(url, additional_headers={"Authorization": f"Bearer {token}"}) as ws:
            assert _ask(ws, CHEAP)["result"] == "0x4f24"
            assert _ask(ws, VERSION)["error"]["message"] == "unauthorized"
            answers = _ask(ws, [CHEAP, VERSION])
            assert ["result" in each for each in answers] == [True, False]
            with pytest.raises(ConnectionClosed) as closed:
                ws.recv(timeout=10)
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "token expired")


def test_listeners_have_their_own_namespaces_and_tokens(tmp_path: Path) -> None:
    """The second address shows eth alone and asks for no token; what it lacks does not exist."""
    second = Listener(port=0, namespaces=("eth",), jwt=False)
    fields = {"jwt_secret_file": write_secret(tmp_path), "roles": ROLES}
    with serving(listeners=(second,), metrics="127.0.0.1:0", **fields) as server:
        assert len(set(server.ports)) == 3
        assert _post(server, CHEAP).status == 401
        assert json.loads(_post(server, CHEAP, place=1).body)["result"] == "0x4f24"
        code, words = _error(_post(server, VERSION, place=1))
        assert (code, words) == (
            -32601,
            "the method web3_clientVersion does not exist/is not available",
        )
        modules = _post(server, CHEAP | {"method": "rpc_modules"}, place=1)
        assert json.loads(modules.body)["result"] == {"eth": "1.0", "rpc": "1.0"}
        described = _post(server, CHEAP | {"method": "rpc.discover"}, place=1)
        names = {each["name"] for each in json.loads(described.body)["result"]["methods"]}
        assert "eth_call" in names
        assert "debug_getRawBlock" not in names
        with connect(f"ws://127.0.0.1:{server.ports[1]}") as ws:
            assert _ask(ws, VERSION)["error"]["code"] == -32601
        assert http_request(server.ports[2], "GET", "/metrics").status == 200
        assert http_request(server.ports[2], "GET", "/").status == 404
        assert _post(server, CHEAP, place=2).status == 404
        with pytest.raises(InvalidStatus), connect(f"ws://127.0.0.1:{server.ports[2]}"):
            pass
        for place in (0, 1):
            assert http_request(server.ports[place], "GET", "/metrics").status == 404


def test_metrics_need_a_role_where_tokens_are_asked_for(tmp_path: Path) -> None:
    """On the port of JSON-RPC a page of metrics is for who may read it."""
    roles = (*ROLES, ("watcher", ("metrics",)))
    with serving(jwt_secret_file=write_secret(tmp_path), roles=roles) as server:
        statuses = []
        for token in ("", _token(roles=["reader"]), _token(roles=["watcher"])):
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            found = http_request(server.ports[0], "GET", "/metrics", headers=headers)
            statuses.append(found.status)
    assert statuses == [401, 403, 200]


RATE: dict[str, Any] = {"address_rate": 0.01, "rate_burst_s": 1_000.0, "heavy_cost": 4}
"""Ten calls at once, and the next one in 100 s."""


def test_rates_of_an_address() -> None:
    """Each call of a batch counts, heavy ones more; then items are -32005 and requests 429.

    Kills: a batch that counts one, a heavy call that counts one, a refused call that counts.
    """
    with serving(limit_loopback=True, **RATE) as server:
        answers = json.loads(_post(server, [CHEAP] * 5 + [HEAVY] * 2).body)
        assert ["result" in each for each in answers] == [True] * 6 + [False]
        assert answers[6]["error"]["code"] == -32005
        assert answers[6]["error"]["data"]["retryAfterSeconds"] > 250
        heavy = _post(server, HEAVY)
        assert heavy.status == 429
        assert json.loads(heavy.body)["error"]["code"] == -32005
        assert _post(server, CHEAP).status == 200
        whole = _post(server, CHEAP)
        assert whole.status == 429
        assert 90 <= int(whole.headers["retry-after"]) <= 100
        assert _post(server, [CHEAP]).status == 429
        with connect(f"ws://127.0.0.1:{server.ports[0]}") as ws:
            assert _ask(ws, CHEAP)["error"]["code"] == -32005


def test_calls_that_are_served_together_count_each() -> None:
    """A row of transactions is one turn for a worker, and as many calls as it has."""
    with serving(limit_loopback=True, **RATE) as server:
        answers = json.loads(_post(server, [SEND] * 3).body)
        assert [each["error"]["code"] for each in answers] == [-32000, -32000, -32005]


def test_loopback_has_no_rate_unless_told() -> None:
    """This machine's own programs are not counted by default."""
    with serving(**RATE) as server:
        answers = json.loads(_post(server, [CHEAP] * 50).body)
        assert all("result" in each for each in answers)


def test_rates_of_a_subject(tmp_path: Path) -> None:
    """Subjects are counted each for itself, wherever they call from."""
    fields = {"jwt_secret_file": write_secret(tmp_path), "roles": ROLES}
    with serving(subject_rate=0.01, rate_burst_s=500.0, **fields) as server:
        one, other = (_token(sub=each, roles=["reader"]) for each in ("one", "other"))
        assert [_post(server, CHEAP, one).status for _ in range(6)] == [200] * 5 + [429]
        assert _post(server, CHEAP, other).status == 200
