"""`qenex node`: run one node until it is told to stop."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from node.app import run
from node.config import Setting, all_settings, load_settings
from node.folder import DataFolder
from primitives.errors import ConfigError

_PR_SET_PDEATHSIG: Final = 1
_METAVARS: Final = {
    "whole number": "N",
    "number": "X",
    "text": "TEXT",
    "true or false": "BOOL",
    "list of texts": "A,B,...",
    "table of lists of texts": "TOML",
    "list of tables": "TOML",
}


def _with_settings(function: Callable[..., int]) -> Callable[..., int]:
    """Add one option per setting; their texts arrive by `section.key`."""
    for each in reversed([each for each in all_settings() if not each.secret]):
        function = click.option(
            f"--{each.name}",
            each.name.replace(".", "__"),
            metavar="|".join(each.one_of) or _METAVARS[each.kind],
            help=_help(each),
        )(function)
    return function


def _help(setting: Setting) -> str:
    default = setting.default
    shown = ",".join(map(str, default)) if isinstance(default, tuple) else str(default)
    return f"{setting.help}  [default: {shown}]" if shown else setting.help


@click.command("node", context_settings={"show_default": False})
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder of the node, made by `qenex init`.",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Configuration file instead of the folder's config.toml.",
)
@click.option("--read-only", is_flag=True, help="Serve a chain that `qenex import` made.")
@click.option("--stop-with", type=int, hidden=True)
@_with_settings
def command(
    *,
    data_dir: Path,
    config: Path | None,
    read_only: bool,
    stop_with: int | None,
    **texts: str | None,
) -> int:
    """Run one node in the foreground; SIGTERM or Ctrl-C stops it cleanly.

    Each setting below is also a key of config.toml (section.key) and an environment variable
    (QENEX_SECTION__KEY). The command line is strongest, then the environment, then the file.

    \b
    Examples:
      qenex node --data-dir mynode
      qenex node --data-dir chain --read-only
      qenex node --data-dir mynode --rpc.port 9545 --log.format json
      QENEX_KEYS__PASSWORD_FILE=pw.txt qenex node --data-dir mynode
    """
    if stop_with is not None:
        _stop_with(stop_with)
    flags = {name.replace("__", "."): text for name, text in texts.items() if text is not None}
    if read_only:
        flags["node.read_only"] = "true"
    settings = load_settings(data_dir, environment=os.environ, flags=flags, file=config)
    DataFolder(data_dir).check()
    return run(settings)


def _stop_with(parent: int) -> None:
    """Ask the kernel to end this process when its parent dies (Linux; elsewhere no effect)."""
    if sys.platform == "linux":
        libc: Any = ctypes.CDLL(None)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        raise ConfigError("the process that started this node is gone")
