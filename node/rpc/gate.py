"""Who may talk to the server: Host names, web origins, and the headers that answer them.

A page on another site can make a browser send requests here. Three things stop it: the Host
allow-list (a name that an attacker's DNS points to this machine is not on it), the JSON content
type (a browser asks permission first, by OPTIONS), and the origin list for WebSocket, which no
preflight protects.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from node.rpc.settings import RpcSettings

Headers = Iterable[tuple[bytes, bytes]]

PREFLIGHT_SECONDS = b"600"


class Refused(Exception):
    """The request ends here with this status."""

    def __init__(self, status: int, words: str, *headers: tuple[bytes, bytes]) -> None:
        super().__init__(words)
        self.status = status
        self.words = words
        self.headers = headers


def header_values(headers: Headers, name: bytes) -> list[str]:
    """Return all values of a header; names are lower case in ASGI."""
    return [value.decode("latin-1") for key, value in headers if key == name]


def is_host_allowed(settings: RpcSettings, headers: Headers) -> bool:
    """Return whether each Host header names this machine by IP address or an allowed name."""
    return all(_is_name_allowed(settings, each) for each in header_values(headers, b"host"))


def _is_name_allowed(settings: RpcSettings, host: str) -> bool:
    if "*" in settings.hosts:
        return True
    name = _without_port(host.strip().lower())
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name in settings.hosts
    return True


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host


def allowed_origin(settings: RpcSettings, origin: str) -> str | None:
    """Return what Access-Control-Allow-Origin must say for `origin`; None where it may not."""
    if "*" in settings.origins:
        return "*"
    return origin if origin in settings.origins else None


def cors_headers(settings: RpcSettings, headers: Headers) -> list[tuple[bytes, bytes]]:
    """Return the CORS headers of an answer; none for a caller that is no allowed web page."""
    origins = header_values(headers, b"origin")
    allowed = allowed_origin(settings, origins[0]) if len(origins) == 1 else None
    if allowed is None:
        return []
    return [(b"access-control-allow-origin", allowed.encode("latin-1")), (b"vary", b"Origin")]


def preflight_headers(settings: RpcSettings, headers: Headers) -> list[tuple[bytes, bytes]]:
    """Return the headers that answer OPTIONS; none for an origin that is not allowed."""
    cors = cors_headers(settings, headers)
    if not cors:
        return []
    return [
        *cors,
        (b"access-control-allow-methods", b"POST, GET, OPTIONS"),
        (b"access-control-allow-headers", b"content-type, authorization"),
        (b"access-control-max-age", PREFLIGHT_SECONDS),
    ]


def is_origin_allowed(settings: RpcSettings, headers: Headers) -> bool:
    """Return whether a WebSocket may open: programs send no Origin, web pages need permission."""
    return all(
        allowed_origin(settings, each) is not None for each in header_values(headers, b"origin")
    )
