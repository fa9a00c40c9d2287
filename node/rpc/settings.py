"""Limits and preferences of the JSON-RPC server; each exists once, here."""

from __future__ import annotations

from dataclasses import dataclass

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class RpcSettings:
    """What one machine prefers for its JSON-RPC server.

    `hosts` are the names that a request's Host header may carry ("*" allows all); IP addresses are
    always allowed, because they cannot be rebound by DNS. `origins` are the web pages that may
    call from a browser ("*" allows all). `tip_min_wei` is the least tip that is suggested; it must
    not be below what the pool asks.
    """

    host: str = "127.0.0.1"
    port: int = 8545
    hosts: tuple[str, ...] = ("localhost",)
    origins: tuple[str, ...] = ()
    client_version: str = "QENEX"

    connections_max: int = 500
    websockets_max: int = 250
    body_bytes_max: int = 5 * MEBIBYTE
    body_timeout_s: float = 30.0
    batch_items_max: int = 1_000
    response_bytes_max: int = 25_000_000
    json_depth_max: int = 64

    workers: int = 4
    submit_workers: int = 8
    waiting_max: int = 1_024
    call_timeout_s: float = 5.0
    request_timeout_s: float = 30.0
    call_gas_max: int = 50_000_000
    tip_min_wei: int = 0

    logs_range_max: int = 100_000
    logs_max: int = 100_000
    filter_addresses_max: int = 1_000
    filters_max: int = 1_000
    filter_timeout_s: float = 300.0
    fee_history_max: int = 1_024
    sync_timeout_ms: int = 2_000
    sync_timeout_max_ms: int = 30_000

    subscriptions_max: int = 128
    websocket_requests_max: int = 16
    websocket_queue_max: int = 65_536
    websocket_queue_bytes_max: int = 32 * MEBIBYTE
