"""Settings of one machine: each exists once, here, as a dataclass field with its help.

Order of strength: default < `config.toml` of the data folder < environment `QENEX_SECTION__KEY` <
flag `--section.key`. An unknown key, a wrong type or a value out of bounds is a ConfigError that
names the place and the nearest known key. What the whole network must agree on is not here but in
the genesis document.
"""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Final, cast, get_type_hints

from node.rpc.settings import Listener, Roles, RpcSettings
from node.setting import MEBIBYTE, PORT_MAX, setting
from primitives.errors import ConfigError, ensure

CONFIG_BYTES_MAX: Final = 1_048_576
ENVIRONMENT_PREFIX: Final = "QENEX_"

Value = bool | int | float | str | tuple[str, ...] | Roles | tuple[Listener, ...]


@dataclass(frozen=True, slots=True)
class NodeSection:
    """The process."""

    fee_recipient: str = setting(
        "",
        "Address (0x...) that receives the fees of our blocks; empty: the validator's own.",
        form="(0x[0-9a-fA-F]{40})?",
    )
    workers: int = setting(2, "Threads that execute blocks and recover senders.", low=1, high=256)
    stop_timeout_s: float = setting(
        8.0, "Longest clean stop, in seconds, before the process ends anyway.", low=0.1, high=600
    )
    read_only: bool = setting(
        False, "Serve a chain that `qenex import` made; no peers, no new blocks. Also --read-only."
    )


@dataclass(frozen=True, slots=True)
class EngineSection:
    """How transactions and calls are executed; results are the same whatever is chosen."""

    kind: str = setting(
        "tuned",
        "tuned: fast; plain: all by py-evm's own loop; shadow: both, and the node stops with a "
        "dump in the data folder at the first difference.",
        one_of=("tuned", "plain", "shadow"),
    )
    compile: str = setting(
        "auto", "auto: compile contract code that runs often; off: never.", one_of=("auto", "off")
    )
    cache_mb: int = setting(
        64, "Memory for hot accounts, slots and trie nodes, in megabytes.", low=0, high=1_000_000
    )


@dataclass(frozen=True, slots=True)
class P2pSection:
    """Connections to the other nodes."""

    host: str = setting("127.0.0.1", "IP address to listen on; 0.0.0.0 for all interfaces.")
    port: int = setting(30303, "TCP port to listen on; 0 takes a free one.", low=0, high=PORT_MAX)
    addresses: tuple[str, ...] = setting(
        (),
        "More addresses of permitted nodes, as /ip4/192.0.2.7/tcp/30303/p2p/12D3KooW...",
    )


@dataclass(frozen=True, slots=True)
class ConsensusSection:
    """This node's part in decisions."""

    sign_with_empty_log: bool = setting(
        False,
        "Sign at once although the write-ahead log is empty. Only for a key that never signed: "
        "with a key that did, it can sign twice.",
    )


@dataclass(frozen=True, slots=True)
class SyncSection:
    """How a node that is behind catches up."""

    snapshot_distance: int = setting(
        0,
        "A new node this many blocks behind begins with a snapshot of the state, proven, and has "
        "no older blocks; 0: never, it executes every block.",
        low=0,
        high=2**63 - 1,
    )


@dataclass(frozen=True, slots=True)
class StateSection:
    """How much state of the past this node keeps; blocks and receipts are always kept."""

    history: str = setting(
        "full",
        "archive: state of every height; full: of the last full_blocks; pruned: of the last "
        "pruned_blocks. What was pruned does not come back.",
        one_of=("archive", "full", "pruned"),
    )
    full_blocks: int = setting(
        10_000, "Heights below the head that full keeps.", low=1, high=1_000_000_000
    )
    pruned_blocks: int = setting(
        128, "Heights below the head that pruned keeps.", low=1, high=1_000_000_000
    )

    @property
    def keep(self) -> int | None:
        """How many heights below the head stay readable; None: all."""
        kept = {"full": self.full_blocks, "pruned": self.pruned_blocks}
        return kept.get(self.history)


@dataclass(frozen=True, slots=True)
class PoolSection:
    """Transactions that wait for a block."""

    transactions_max: int = setting(
        20_000, "Most transactions in the pool.", low=1, high=10_000_000
    )
    bytes_max: int = setting(64 * MEBIBYTE, "Most bytes of transactions in the pool.", low=MEBIBYTE)
    per_sender_max: int = setting(
        1_024, "Most transactions of one sender in the pool.", low=1, high=1_000_000
    )
    queued_per_sender_max: int = setting(
        64, "Most transactions of one sender behind a nonce gap.", low=0, high=1_000_000
    )
    expiry_s: float = setting(
        10_800.0, "Time that a transaction may wait, in seconds.", low=1, high=31_536_000
    )
    tip_min_wei: int = setting(0, "Least priority fee per gas, in wei.", low=0, high=2**63 - 1)
    journal: bool = setting(
        True, "Keep transactions received over JSON-RPC on disk until they are in a block."
    )


@dataclass(frozen=True, slots=True)
class LogSection:
    """What the node writes to its log (standard error)."""

    level: str = setting("info", "Least level.", one_of=("debug", "info", "warning", "error"))
    format: str = setting(
        "auto",
        "Form of a line; auto: human on a terminal, json otherwise.",
        one_of=("auto", "human", "json"),
    )


@dataclass(frozen=True, slots=True)
class KeysSection:
    """Key files; relative paths start at the data folder."""

    validator: str = setting(
        "validator.json", "Keystore file of the validator key; the node observes without the file."
    )
    node: str = setting("node.key", "File of the node's own Ed25519 key.")
    password_file: str = setting(
        "", "File whose first line is the keystore's password; must not be readable by others."
    )
    password: str = setting("", "The keystore's password; only from the environment.", secret=True)


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of one node and the folder that holds its data."""

    data_dir: Path
    node: NodeSection = field(default_factory=NodeSection)
    engine: EngineSection = field(default_factory=EngineSection)
    p2p: P2pSection = field(default_factory=P2pSection)
    rpc: RpcSettings = field(default_factory=RpcSettings)
    consensus: ConsensusSection = field(default_factory=ConsensusSection)
    sync: SyncSection = field(default_factory=SyncSection)
    state: StateSection = field(default_factory=StateSection)
    pool: PoolSection = field(default_factory=PoolSection)
    log: LogSection = field(default_factory=LogSection)
    keys: KeysSection = field(default_factory=KeysSection)


SECTIONS: Final[dict[str, type]] = {
    "node": NodeSection,
    "engine": EngineSection,
    "p2p": P2pSection,
    "rpc": RpcSettings,
    "consensus": ConsensusSection,
    "sync": SyncSection,
    "state": StateSection,
    "pool": PoolSection,
    "log": LogSection,
    "keys": KeysSection,
}


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting as help, flags and the sample file show it."""

    section: str
    key: str
    kind: str
    default: Value
    help: str
    low: float | None
    high: float | None
    one_of: tuple[str, ...]
    form: str
    secret: bool

    @property
    def name(self) -> str:
        """`section.key`, as in the flag."""
        return f"{self.section}.{self.key}"

    @property
    def variable(self) -> str:
        """The environment variable."""
        return f"{ENVIRONMENT_PREFIX}{self.section}__{self.key}".upper()


def all_settings() -> Iterator[Setting]:
    """Yield every setting, in order of sections and fields."""
    for section, kind in SECTIONS.items():
        yield from _settings_of(section, kind)


def _settings_of(section: str, kind: type) -> Iterator[Setting]:
    hints = get_type_hints(kind)
    for each in fields(kind):
        if each.metadata:
            yield Setting(
                section=section,
                key=each.name,
                kind=_KINDS[hints[each.name]],
                default=cast("Value", each.default),
                **each.metadata,
            )


_KINDS: Final[dict[Any, str]] = {
    bool: "true or false",
    int: "whole number",
    float: "number",
    str: "text",
    tuple[str, ...]: "list of texts",
    Roles: "table of lists of texts",
    tuple[Listener, ...]: "list of tables",
}


def load_settings(
    data_dir: Path,
    *,
    environment: Mapping[str, str],
    flags: Mapping[str, str],
    file: Path | None = None,
) -> Settings:
    """Return the settings of the node in `data_dir`; raises ConfigError.

    `file` replaces the folder's `config.toml`, which may be absent. `environment` is `os.environ`;
    `flags` maps `section.key` to the text of the command line.
    """
    found: dict[str, Value] = {}
    path = file if file is not None else data_dir / "config.toml"
    if file is not None or path.exists():
        found |= _from_toml(path)
    found |= _from_environment(environment)
    found |= _from_flags(flags)
    sections = {
        section: kind(
            **{e.name: found[n] for e in fields(kind) if (n := f"{section}.{e.name}") in found}
        )
        for section, kind in SECTIONS.items()
    }
    return Settings(data_dir=data_dir, **sections)


def _from_toml(path: Path) -> dict[str, Value]:
    try:
        with path.open("rb") as file:
            raw = file.read(CONFIG_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot read: {error.strerror}") from None
    if len(raw) > CONFIG_BYTES_MAX:
        raise ConfigError(f"{path}: a configuration file has at most {CONFIG_BYTES_MAX} bytes")
    try:
        document = tomllib.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from None
    known = {each.name: each for each in all_settings()}
    found: dict[str, Value] = {}
    for section, table in document.items():
        if section not in SECTIONS:
            raise ConfigError(f"{path}: {_unknown(f'[{section}]', section, list(SECTIONS))}")
        if not isinstance(table, dict):
            raise ConfigError(f"{path}: {section} is a section: write [{section}]")
        for key, value in table.items():
            name = f"{section}.{key}"
            if name not in known:
                raise ConfigError(f"{path}: {_unknown(name, name, list(known))}")
            if known[name].secret:
                raise ConfigError(f"{path}: {name} is secret: use {known[name].variable}")
            where, setting = f"{path}: {name}", known[name]
            found[name] = _checked(setting, where, _typed(setting, where, value))
    return found


def _from_environment(environment: Mapping[str, str]) -> dict[str, Value]:
    known = {each.variable: each for each in all_settings()}
    found: dict[str, Value] = {}
    for variable, text in sorted(environment.items()):
        if not variable.startswith(ENVIRONMENT_PREFIX) or "__" not in variable:
            continue
        if variable not in known:
            raise ConfigError(f"environment: {_unknown(variable, variable, list(known))}")
        setting = known[variable]
        found[setting.name] = _checked(setting, variable, _read(setting, variable, text))
    return found


def _from_flags(flags: Mapping[str, str]) -> dict[str, Value]:
    known = {each.name: each for each in all_settings() if not each.secret}
    found: dict[str, Value] = {}
    for name, text in flags.items():
        if name not in known:
            raise ConfigError(_unknown(f"--{name}", name, list(known)))
        found[name] = _checked(known[name], f"--{name}", _read(known[name], f"--{name}", text))
    return found


def _unknown(shown: str, name: str, known: list[str]) -> str:
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
    return f"unknown setting {shown}; the nearest is {nearest}"


def _read(setting: Setting, place: str, text: str) -> Value | None:
    """Return the value that `text` of a flag or variable means, None when it has none."""
    text = text.strip()
    if setting.kind == "text":
        return text
    if setting.kind == "list of texts":
        return tuple(each.strip() for each in text.split(",") if each.strip())
    if setting.kind in ("table of lists of texts", "list of tables"):
        try:
            return _typed(setting, place, tomllib.loads(f"value = {text}")["value"])
        except (ValueError, RecursionError):
            return None
    if setting.kind == "true or false":
        return {"true": True, "false": False, "1": True, "0": False}.get(text.lower())
    try:
        return int(text) if setting.kind == "whole number" else float(text)
    except ValueError:
        return None


def _texts(value: Any) -> tuple[str, ...] | None:
    is_texts = isinstance(value, list) and all(isinstance(each, str) for each in value)
    return tuple(value) if is_texts else None


def _typed(setting: Setting, place: str, value: Any) -> Value | None:
    """Return a value of a TOML file in the setting's own type, None when it has another.

    Raises ConfigError for what is wrong inside a list of tables.
    """
    if setting.kind == "list of texts":
        return _texts(value)
    if setting.kind == "table of lists of texts":
        if not isinstance(value, dict):
            return None
        found = [(name, _texts(each)) for name, each in value.items()]
        whole = tuple((name, each) for name, each in found if each is not None)
        return whole if len(whole) == len(found) else None
    if setting.kind == "list of tables":
        if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
            return None
        return tuple(_listener(f"{place}[{n}]", each) for n, each in enumerate(value))
    if setting.kind == "number":
        return float(value) if type(value) in (int, float) else None
    return value if type(value) is type(setting.default) else None


def _listener(place: str, table: dict[str, Any]) -> Listener:
    known = {each.key: each for each in _settings_of("rpc.listeners", Listener)}
    found: dict[str, Any] = {}
    for key, value in table.items():
        if key not in known:
            raise ConfigError(f"{place}: {_unknown(key, key, list(known))}")
        where = f"{place}.{key}"
        found[key] = _checked(known[key], where, _typed(known[key], where, value))
    return Listener(**found)


def _checked(setting: Setting, place: str, value: Value | None) -> Value:
    if value is None:
        raise ConfigError(f"{place}: must be a {setting.kind}")
    if setting.one_of and value not in setting.one_of:
        raise ConfigError(f"{place}: must be one of {', '.join(setting.one_of)}")
    if setting.form and re.fullmatch(setting.form, str(value)) is None:
        raise ConfigError(f"{place}: is not in its form: {setting.help}")
    if isinstance(value, int | float) and not isinstance(value, bool):
        low, high = setting.low, setting.high
        if (low is not None and not value >= low) or (high is not None and not value <= high):
            raise ConfigError(f"{place}: must be {_bounds(setting)}, found {value}")
    return value


def _bounds(setting: Setting) -> str:
    if setting.high is None:
        return f"at least {setting.low}"
    return f"{setting.low} to {setting.high}"


def sample_toml(values: Mapping[str, Value] | None = None) -> str:
    """Return a configuration file with every setting, its help and its default in a comment.

    `values` maps `section.key` to a value that is set in the file.
    """
    chosen = dict(values or {})
    lines = [
        "# Settings of a QENEX node. Stronger than this file: QENEX_SECTION__KEY in the",
        "# environment, then --section.key on the command line.",
    ]
    section = ""
    for each in all_settings():
        if each.secret:
            continue
        if each.section != section:
            section = each.section
            about = (SECTIONS[section].__doc__ or "").splitlines()[0]
            lines += ["", f"[{section}]  # {about}"]
        lines.append(f"# {each.help}")
        if each.name in chosen:
            lines.append(f"{each.key} = {_toml(each.kind, chosen.pop(each.name))}")
        else:
            lines.append(f"# {each.key} = {_toml(each.kind, each.default)}")
    ensure(not chosen, f"no such settings: {', '.join(chosen)}")
    return "\n".join(lines) + "\n"


def _toml(kind: str, value: Any) -> str:
    """Return the value as TOML, whose texts are those of JSON but for the character DEL."""
    if kind == "table of lists of texts":
        return "{ " + ", ".join(f"{_plain(n)} = {_plain(list(each))}" for n, each in value) + " }"
    if kind == "list of tables":
        tables = [[f"{n} = {_plain(each)}" for n, each in asdict(t).items()] for t in value]
        return "[" + ", ".join("{ " + ", ".join(each) + " }" for each in tables) + "]"
    return _plain(value)


def _plain(value: Any) -> str:
    plain = list(value) if isinstance(value, tuple) else value
    return json.dumps(plain, ensure_ascii=False).replace("\x7f", "\\u007f")
