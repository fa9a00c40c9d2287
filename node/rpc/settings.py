"""Limits and preferences of the JSON-RPC server: the section [rpc] of the settings, once.

node/config.py reads and prints these fields as it does those of every section; the two without
help, `client_version` and `tip_min_wei`, are no settings of [rpc] and are filled in by the node.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from node.setting import KIBIBYTE, MEBIBYTE, PORT_MAX, setting

Roles = tuple[tuple[str, tuple[str, ...]], ...]
"""Names of roles, each with patterns of the methods that it may call."""

METRICS_FORM: Final = r"off|rpc|(\[[0-9a-fA-F:.]+\]|[^\s:\[\]]+):[0-9]{1,5}"


@dataclass(frozen=True, slots=True)
class Listener:
    """One address more where JSON-RPC is served."""

    host: str = setting("127.0.0.1", "IP address to listen on; 0.0.0.0 for all interfaces.")
    port: int = setting(0, "TCP port to listen on; 0 takes a free one.", low=0, high=PORT_MAX)
    namespaces: tuple[str, ...] = setting((), "Namespaces that are answered; empty: all.")
    jwt: bool = setting(True, "Ask for a token, where a key for tokens is set.")


@dataclass(frozen=True, slots=True)
class RpcSettings:
    """JSON-RPC over HTTP and WebSocket on one port."""

    enabled: bool = setting(True, "Serve JSON-RPC at all.")
    host: str = setting("127.0.0.1", "IP address to listen on; 0.0.0.0 for all interfaces.")
    port: int = setting(8545, "TCP port to listen on; 0 takes a free one.", low=0, high=PORT_MAX)
    namespaces: tuple[str, ...] = setting(
        (), "Namespaces answered at this address, as eth, net, web3; empty: all."
    )
    jwt: bool = setting(
        True, "Ask for a token at this address, where jwt_secret_file or jwt_key_file is set."
    )
    listeners: tuple[Listener, ...] = setting(
        (), "More addresses, each a [[rpc.listeners]] with host, port, namespaces and jwt."
    )
    ipc: str = setting(
        "",
        "File of a Unix socket, from the data folder, that only this user can open; empty: none. "
        "It answers all namespaces and asks for no token.",
    )
    metrics: str = setting(
        "rpc",
        "Where GET /metrics is served for Prometheus: rpc: at the addresses of JSON-RPC; off; or "
        "an address of its own, as 127.0.0.1:9100.",
        form=METRICS_FORM,
    )
    explorer: bool = setting(True, "Serve the explorer at /explorer.")
    hosts: tuple[str, ...] = setting(
        ("localhost",), "Names allowed in a request's Host header besides IP addresses; * for all."
    )
    origins: tuple[str, ...] = setting(
        (), "Web origins that may call from a browser (CORS); * for all."
    )
    operator: bool = setting(
        False,
        "Answer the methods that change this node: admin_addPeer, admin_removePeer, and votes with "
        "its validator key (qbft_proposeValidatorVote). Whoever reaches the port may use them.",
    )

    jwt_secret_file: str = setting(
        "", "File with the secret of HS256 tokens, 32 to 1,024 bytes in hex, from the data folder."
    )
    jwt_key_file: str = setting(
        "",
        "PEM file with the public key of tokens: RSA of 2,048 bits or more (RS256) or P-256 "
        "(ES256).",
    )
    jwt_leeway_s: float = setting(
        30.0, "Difference between clocks allowed in exp, nbf and iat, in seconds.", low=0, high=300
    )
    roles: tuple[tuple[str, tuple[str, ...]], ...] = setting(
        (),
        'Methods of each role that a token can name, as { reader = ["eth_*", "net_version"] }; '
        "* stands for any text.",
    )
    anonymous_role: str = setting(
        "", "Role of callers without a token; empty: they are refused where tokens are asked for."
    )

    address_rate: float = setting(
        2_000.0,
        "Calls per second of one address without a token (IPv6: of one /64); 0: no limit.",
        low=0,
        high=1_000_000_000,
    )
    subject_rate: float = setting(
        2_000.0,
        "Calls per second of one token's subject; 0: no limit.",
        low=0,
        high=1_000_000_000,
    )
    rate_burst_s: float = setting(
        10.0, "Seconds of saved calls that may come at once.", low=0.1, high=3_600
    )
    heavy_cost: int = setting(
        5, "What a call counts that needs a worker, where a cheap one counts 1.", low=1, high=10_000
    )
    rate_entries_max: int = setting(
        10_000, "Most addresses and subjects whose calls are counted.", low=1, high=10_000_000
    )
    limit_loopback: bool = setting(
        False, "Hold callers from this machine to the limits per address too."
    )

    connections_max: int = setting(500, "Most open connections.", low=1, high=100_000)
    address_connections_max: int = setting(
        128, "Most open connections of one address (IPv6: of one /64).", low=1, high=100_000
    )
    websockets_max: int = setting(
        250, "Most open WebSocket and IPC connections.", low=0, high=100_000
    )
    header_timeout_s: float = setting(
        10.0, "Longest time for a request's line and headers, in seconds.", low=0.05, high=600
    )
    body_timeout_s: float = setting(
        30.0, "Longest time for a request's body, in seconds.", low=0.05, high=3_600
    )
    idle_timeout_s: float = setting(
        75.0, "Time until an idle HTTP connection is closed, in seconds.", low=1, high=86_400
    )
    send_timeout_s: float = setting(
        30.0,
        "Time in which a reader must take 8 KiB per second of what waits for it, in seconds.",
        low=0.05,
        high=3_600,
    )
    body_bytes_max: int = setting(
        5 * MEBIBYTE, "Largest request, in bytes.", low=KIBIBYTE, high=1_024 * MEBIBYTE
    )
    batch_items_max: int = setting(1_000, "Most calls in one batch.", low=1, high=100_000)
    response_bytes_max: int = setting(
        25_000_000, "Largest response, in bytes.", low=KIBIBYTE, high=1_024 * MEBIBYTE
    )
    json_depth_max: int = setting(64, "Deepest nesting of a request's JSON.", low=8, high=256)

    workers: int = setting(4, "Threads that answer reads and calls.", low=1, high=256)
    submit_workers: int = setting(8, "Threads that take transactions.", low=1, high=256)
    waiting_max: int = setting(
        1_024, "Most calls that wait for a worker of their kind.", low=1, high=1_000_000
    )
    call_timeout_s: float = setting(
        5.0, "Longest execution of one eth_call or eth_estimateGas, in seconds.", low=0.1, high=600
    )
    request_timeout_s: float = setting(
        30.0, "Longest time for one request with all its calls, in seconds.", low=0.1, high=3_600
    )
    call_gas_max: int = setting(
        50_000_000, "Most gas of one eth_call, estimate or simulation.", low=21_000, high=2**63 - 1
    )

    logs_range_max: int = setting(
        100_000, "Most blocks of one eth_getLogs.", low=1, high=1_000_000_000
    )
    logs_max: int = setting(100_000, "Most logs in one answer.", low=1, high=10_000_000)
    filter_addresses_max: int = setting(
        1_000, "Most addresses, or topics at one place, of a filter.", low=1, high=100_000
    )
    filters_max: int = setting(1_000, "Most polling filters.", low=0, high=1_000_000)
    filter_timeout_s: float = setting(
        300.0, "Time until a filter that nobody polls is gone, in seconds.", low=1, high=86_400
    )
    fee_history_max: int = setting(
        1_024, "Most blocks of one eth_feeHistory.", low=1, high=1_000_000
    )
    sync_timeout_ms: int = setting(
        2_000,
        "Time that eth_sendRawTransactionSync waits unless told, in milliseconds.",
        low=1,
        high=3_600_000,
    )
    sync_timeout_max_ms: int = setting(
        30_000,
        "Longest time that eth_sendRawTransactionSync may be told to wait, in milliseconds.",
        low=1,
        high=3_600_000,
    )

    subscriptions_max: int = setting(
        128, "Most subscriptions of one connection.", low=0, high=100_000
    )
    websocket_requests_max: int = setting(
        16, "Most requests of one WebSocket in progress.", low=1, high=10_000
    )
    websocket_queue_max: int = setting(
        65_536,
        "Most messages that wait for a slow WebSocket reader; then it is cut.",
        low=1,
        high=10_000_000,
    )
    websocket_queue_bytes_max: int = setting(
        32 * MEBIBYTE,
        "Most bytes that wait for a slow WebSocket reader; then it is cut.",
        low=KIBIBYTE,
        high=1_024 * MEBIBYTE,
    )

    client_version: str = "QENEX"
    tip_min_wei: int = 0
    """The least tip that is suggested; not below what the pool asks."""
