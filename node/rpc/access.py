"""What one caller may do: namespaces of its listener, methods of its roles, calls per second.

A token is asked for where a key is set and the listener says so. Without a token a caller has the
anonymous role, or is refused where there is none. A method outside the listener's namespaces does
not exist there; one outside the caller's roles is answered -32001 "unauthorized".
"""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from node.rpc.errors import LIMIT_EXCEEDED, METHOD_NOT_FOUND, UNAUTHORIZED, RpcError
from node.rpc.gate import Headers, Refused, header_values
from node.rpc.rates import Bucket, Rates, address_key
from node.rpc.settings import Listener, RpcSettings
from node.rpc.tokens import TokenRefused, load_tokens
from primitives.errors import ConfigError

METRICS: Final = "metrics"
"""What a role's patterns must match to read /metrics where tokens are asked for."""


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """Where a connection came in: a listener, and whether it has metrics alone."""

    listener: Listener
    visible: frozenset[str] | None = None
    is_metrics: bool = False
    has_metrics: bool = True


class Caller:
    """One HTTP request or one connection; used by the server's loop.

    `ends` is when its token does, in seconds since 1970. `retry_s` is set by a call that came too
    soon.
    """

    __slots__ = ("_allowed", "_bucket", "_heavy", "ends", "retry_s", "visible")

    def __init__(
        self,
        visible: frozenset[str] | None = None,
        allowed: tuple[frozenset[str], ...] | None = None,
        bucket: Bucket | None = None,
        heavy: int = 1,
        ends: float = math.inf,
    ) -> None:
        self.visible = visible
        self.ends = ends
        self.retry_s = 0.0
        self._allowed = allowed
        self._bucket = bucket
        self._heavy = heavy

    def admit(self, name: str, *, is_heavy: bool) -> None:
        """Count a call of the method `name`; raises RpcError when it is refused."""
        bucket = self._bucket
        if bucket is not None:
            wait_s = bucket.take(self._heavy if is_heavy else 1, time.monotonic())
            if wait_s:
                self.retry_s = wait_s
                raise too_many(wait_s)
        if self.visible is not None and name not in self.visible:
            raise unknown_method(name)
        if not self.may(name):
            raise RpcError(UNAUTHORIZED, "unauthorized")

    def may(self, name: str) -> bool:
        """Return whether one of the caller's roles allows it."""
        return self._allowed is None or any(name in each for each in self._allowed)

    def check_rate(self) -> None:
        """Raise Refused when not even a cheap call is left, before a request is read."""
        if self._bucket is not None:
            wait_s = self._bucket.wait_s(1, time.monotonic())
            if wait_s:
                raise Refused(429, "too many calls", retry_after(wait_s))


def retry_after(wait_s: float) -> tuple[bytes, bytes]:
    """Return the header that says when to come again."""
    return b"retry-after", str(max(1, math.ceil(wait_s))).encode()


def too_many(wait_s: float) -> RpcError:
    """Return the error of a call that came too soon."""
    return RpcError(LIMIT_EXCEEDED, "too many calls", {"retryAfterSeconds": round(wait_s, 3)})


def unknown_method(name: str) -> RpcError:
    """Return the error for a method that is not there."""
    shown = name if len(name) <= 100 else name[:100] + "…"
    return RpcError(METHOD_NOT_FOUND, f"the method {shown} does not exist/is not available")


class Access:
    """Who may come in, by the settings; raises ConfigError where they contradict themselves."""

    def __init__(self, settings: RpcSettings, methods: Collection[str]) -> None:
        self._settings = settings
        self._methods = frozenset(methods)
        self._tokens = load_tokens(
            settings.jwt_secret_file, settings.jwt_key_file, settings.jwt_leeway_s
        )
        names = (*self._methods, METRICS)
        self._roles: Mapping[str, frozenset[str]] = {
            role: frozenset(n for n in names if any(fnmatchcase(n, each) for each in patterns))
            for role, patterns in settings.roles
        }
        for role, patterns in settings.roles:
            for pattern in patterns:
                if not any(fnmatchcase(name, pattern) for name in names):
                    raise ConfigError(f"rpc.roles: {role}: no method fits {pattern}")
        if settings.anonymous_role and settings.anonymous_role not in self._roles:
            raise ConfigError(f"rpc.anonymous_role: rpc.roles has no {settings.anonymous_role}")
        if self._tokens is not None and not self._roles:
            raise ConfigError(
                "rpc.roles: tokens are asked for, but no role may call anything; set for example "
                'roles = { reader = ["eth_*", "net_*", "web3_*"] }'
            )
        made = (settings.rate_burst_s, settings.heavy_cost, settings.rate_entries_max)
        self._addresses = Rates(settings.address_rate, *made)
        self._subjects = Rates(settings.subject_rate, *made)

    def place(self, listener: Listener) -> Place:
        """Return the place of a listener; raises ConfigError for an unknown namespace."""
        has_metrics = self._settings.metrics == "rpc"
        if not listener.namespaces:
            return Place(listener, has_metrics=has_metrics)
        known = {namespace_of(name) for name in self._methods}
        for each in listener.namespaces:
            if each not in known:
                raise ConfigError(
                    f"namespace {each} is not known; there are {', '.join(sorted(known))}"
                )
        wanted = (*listener.namespaces, "rpc")
        visible = frozenset(n for n in self._methods if namespace_of(n) in wanted)
        return Place(listener, visible, has_metrics=has_metrics)

    def caller(self, place: Place, headers: Headers, host: str) -> Caller:
        """Return who calls from the IP address `host`; raises Refused with 401 or 403."""
        heavy = self._settings.heavy_cost
        if self._tokens is None or not place.listener.jwt:
            return Caller(place.visible, None, self._bucket_of(host), heavy)
        token = _token(headers)
        if token is None:
            role = self._settings.anonymous_role
            if not role:
                raise Refused(401, "a bearer token is needed", (b"www-authenticate", b"Bearer"))
            return Caller(place.visible, (self._roles[role],), self._bucket_of(host), heavy)
        try:
            claims = self._tokens.check(token, time.time())
        except TokenRefused as refused:
            wrong = (b"www-authenticate", b'Bearer error="invalid_token"')
            raise Refused(401, str(refused), wrong) from None
        allowed = tuple(self._roles[each] for each in claims.roles if each in self._roles)
        if not any(allowed):
            raise Refused(403, "the token's roles allow nothing here")
        bucket = (
            self._subjects.bucket(claims.subject, time.monotonic())
            if claims.subject
            else self._bucket_of(host)
        )
        return Caller(place.visible, allowed, bucket, heavy, self._tokens.end(claims))

    def _bucket_of(self, host: str) -> Bucket | None:
        key, is_own = address_key(host)
        if is_own and not self._settings.limit_loopback:
            return None
        return self._addresses.bucket(key, time.monotonic())


def namespace_of(name: str) -> str:
    """Return the namespace of a method: what stands before its first underscore or dot."""
    return name.partition("_")[0].partition(".")[0]


def _token(headers: Headers) -> str | None:
    """Return the bearer token, None without one; raises Refused for another kind or several."""
    given = header_values(headers, b"authorization")
    if not given:
        return None
    kind, _, token = given[0].strip().partition(" ")
    if len(given) > 1 or kind.lower() != "bearer" or not token.strip():
        raise Refused(401, "a bearer token is needed", (b"www-authenticate", b"Bearer"))
    return token.strip()
