"""Settings: strength of the sources, strictness, and the sample file that prints them all."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.config import SECTIONS, Setting, Settings, all_settings, load_settings, sample_toml
from node.rpc.settings import Listener, RpcSettings
from primitives.errors import ConfigError

SETTINGS = {each.name: each for each in all_settings()}


def load(
    folder: Path,
    text: str = "",
    environment: dict[str, str] | None = None,
    flags: dict[str, str] | None = None,
) -> Settings:
    if text:
        (folder / "config.toml").write_text(text)
    return load_settings(folder, environment=environment or {}, flags=flags or {})


def test_strength_of_sources(tmp_path: Path) -> None:
    """Default < file < environment < flag."""
    assert load(tmp_path).rpc.port == 8545
    assert load(tmp_path, "[rpc]\nport = 1").rpc.port == 1
    environment = {"QENEX_RPC__PORT": "2", "HOME": "/", "QENEX_VECTORS": "/nowhere"}
    assert load(tmp_path, environment=environment).rpc.port == 2
    assert load(tmp_path, environment=environment, flags={"rpc.port": "3"}).rpc.port == 3


def test_listeners_are_local_by_default(tmp_path: Path) -> None:
    """Without being told, nothing listens beyond this machine, and nothing signs blindly."""
    settings = load(tmp_path)
    assert (settings.p2p.host, settings.rpc.host) == ("127.0.0.1", "127.0.0.1")
    assert settings.rpc.origins == ()
    assert settings.consensus.sign_with_empty_log is False


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[rpc]\nprot = 1", "unknown setting rpc.prot; the nearest is rpc.port"),
        ("[rcp]\nport = 1", "unknown setting [rcp]; the nearest is rpc"),
        ("rpc = 1", "rpc is a section: write [rpc]"),
        ('[rpc]\nport = "1"', "rpc.port: must be a whole number"),
        ("[rpc]\nport = 1.5", "rpc.port: must be a whole number"),
        ("[rpc]\nport = true", "rpc.port: must be a whole number"),
        ("[rpc]\nport = 65536", "rpc.port: must be 0 to 65535, found 65536"),
        ("[rpc]\nport = -1", "rpc.port: must be 0 to 65535, found -1"),
        ("[rpc]\nenabled = 1", "rpc.enabled: must be a true or false"),
        ('[rpc]\nhosts = "a"', "rpc.hosts: must be a list of texts"),
        ("[rpc]\nhosts = [1]", "rpc.hosts: must be a list of texts"),
        ("[pool]\nexpiry_s = nan", "pool.expiry_s: must be"),
        ('[log]\nlevel = "loud"', "log.level: must be one of debug, info, warning, error"),
        ('[node]\nfee_recipient = "0x12"', "node.fee_recipient: is not in its form"),
        ('[keys]\npassword = "x"', "keys.password is secret: use QENEX_KEYS__PASSWORD"),
        ('[rpc]\nroles = ["eth_*"]', "rpc.roles: must be a table of lists of texts"),
        ('[rpc]\nroles = { reader = "eth_*" }', "rpc.roles: must be a table of lists of texts"),
        ("[rpc]\nlisteners = [1]", "rpc.listeners: must be a list of tables"),
        ("[[rpc.listeners]]\nprot = 1", "rpc.listeners[0]: unknown setting prot; the nearest is"),
        ("[[rpc.listeners]]\nport = 70000", "rpc.listeners[0].port: must be 0 to 65535"),
        ("[[rpc.listeners]]\njwt = 1", "rpc.listeners[0].jwt: must be a true or false"),
        ('[rpc]\nmetrics = "here"', "rpc.metrics: is not in its form"),
        ("[rpc", "not TOML"),
        ("\udcff", "not TOML"),
    ],
)
def test_bad_files(tmp_path: Path, text: str, message: str) -> None:
    """Each mistake in the file is refused with the file, the key and what it must be."""
    (tmp_path / "config.toml").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ConfigError) as caught:
        load(tmp_path)
    assert message in caught.value.message
    assert "config.toml" in caught.value.message


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("QENEX_RPC__PROT", "1", "the nearest is QENEX_RPC__PORT"),
        ("QENEX_RPC__PORT", "x", "QENEX_RPC__PORT: must be a whole number"),
        ("QENEX_RPC__ENABLED", "maybe", "QENEX_RPC__ENABLED: must be a true or false"),
    ],
)
def test_bad_environment(tmp_path: Path, variable: str, value: str, message: str) -> None:
    """A variable that means nothing is an error, not silence."""
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, environment={variable: value})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("rpc.prot", "1", "unknown setting --rpc.prot; the nearest is rpc.port"),
        ("rpc.port", "70000", "--rpc.port: must be 0 to 65535"),
        ("keys.password", "x", "unknown setting --keys.password"),
    ],
)
def test_bad_flags(tmp_path: Path, name: str, value: str, message: str) -> None:
    """Flags are as strict, and no secret can stand on the command line."""
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, flags={name: value})


def test_texts_of_flags(tmp_path: Path) -> None:
    """Texts mean values of each kind."""
    flags = {"rpc.enabled": "FALSE", "rpc.hosts": "a, b,", "pool.expiry_s": "2", "rpc.host": "h"}
    settings = load(tmp_path, flags=flags)
    assert settings.rpc.enabled is False
    assert settings.rpc.hosts == ("a", "b")
    assert settings.pool.expiry_s == 2.0
    assert settings.rpc.host == "h"


def test_password_is_not_shown(tmp_path: Path) -> None:
    """The password comes from the environment and is in no repr."""
    settings = load(tmp_path, environment={"QENEX_KEYS__PASSWORD": "hunter2"})
    assert settings.keys.password == "hunter2"
    assert "hunter2" not in repr(settings)


def test_given_file_must_exist(tmp_path: Path) -> None:
    """The folder's own file may be absent; one that is named may not."""
    with pytest.raises(ConfigError, match="cannot read"):
        load_settings(tmp_path, environment={}, flags={}, file=tmp_path / "other.toml")


@pytest.mark.parametrize("setting", list(SETTINGS.values()), ids=list(SETTINGS))
def test_every_setting_is_whole(setting: Setting) -> None:
    """Each setting has help that ends a sentence, a default of its kind and within its bounds."""
    assert setting.help.endswith(("...", "."))
    if isinstance(setting.default, int | float):
        assert setting.low is None or setting.default >= setting.low
        assert setting.high is None or setting.default <= setting.high
    assert not setting.one_of or setting.default in setting.one_of


def test_sample_changes_nothing(tmp_path: Path) -> None:
    """The sample file holds every setting as a comment; as it is, it equals no file at all."""
    sample = sample_toml()
    assert load(tmp_path, sample) == Settings(tmp_path)
    for each in SETTINGS.values():
        assert (f"\n# {each.key} = " in sample) is not each.secret


def test_sample_uncommented_is_the_default(tmp_path: Path) -> None:
    """Each default in a comment is a valid line. Kills: a default that TOML cannot read."""
    lines = [
        line.removeprefix("# ") if " = " in line and line.startswith("# ") else line
        for line in sample_toml().splitlines()
        if not line.startswith("# ") or line.split(" = ")[0][2:].isidentifier()
    ]
    assert load(tmp_path, "\n".join(lines)) == Settings(tmp_path)
    assert set(tomllib.loads("\n".join(lines))) == set(SECTIONS)


@given(st.integers(0, 65_535), st.lists(st.text(max_size=10), max_size=3))
def test_sample_keeps_values(port: int, origins: list[str]) -> None:
    """A value written into the sample is read back, whatever text it is."""
    text = sample_toml({"rpc.port": port, "rpc.origins": tuple(origins)})
    table = tomllib.loads(text)["rpc"]
    assert (table["port"], table["origins"]) == (port, origins)


def test_listeners_and_roles(tmp_path: Path) -> None:
    """Tables of [rpc] mean the same in the file, in the environment, as a flag and in the sample.

    Kills: a table that the sample file prints as JSON.
    """
    listeners = (Listener(port=1, namespaces=("eth",), jwt=False), Listener(host="::1"))
    roles = (("reader", ("eth_*", "net_version")), ("operator of all", ("*",)))
    text = sample_toml({"rpc.listeners": listeners, "rpc.roles": roles})
    tables = """[rpc.roles]
reader = ["eth_*", "net_version"]
"operator of all" = ["*"]
[[rpc.listeners]]
port = 1
namespaces = ["eth"]
jwt = false
[[rpc.listeners]]
host = "::1"
"""
    inline = {
        "rpc.roles": '{ reader = ["eth_*", "net_version"], "operator of all" = ["*"] }',
        "rpc.listeners": '[{ port = 1, namespaces = ["eth"], jwt = false }, { host = "::1" }]',
    }
    variables = {f"QENEX_{n.replace('.', '__').upper()}": each for n, each in inline.items()}
    found = [load(tmp_path, text).rpc, load(tmp_path, tables).rpc]
    (tmp_path / "config.toml").unlink()
    found += [load(tmp_path, flags=inline).rpc, load(tmp_path, environment=variables).rpc]
    for each in found:
        assert (each.listeners, each.roles) == (listeners, roles)
    with pytest.raises(ConfigError, match=r"--rpc\.roles: must be a table of lists of texts"):
        load(tmp_path, flags={"rpc.roles": "} x"})


def test_every_limit_of_json_rpc_is_a_setting() -> None:
    """No field of the server's settings is out of reach but what the node itself fills in."""
    fields = set(RpcSettings.__dataclass_fields__)
    settable = {each.key for each in SETTINGS.values() if each.section == "rpc"}
    assert fields - settable == {"client_version", "tip_min_wei"}
