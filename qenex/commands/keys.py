"""`qenex keys`: make and show the keys of a node."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import click
from eth_utils.address import to_checksum_address

from node.config import KeysSection
from node.folder import DataFolder
from node.keys import read_password
from p2p.keys import generate_node_key, load_node_key, save_node_key
from primitives.crypto.keyfile import save_key
from primitives.crypto.secp256k1 import PrivateKey
from primitives.errors import ConfigError
from primitives.types import Address

KEYFILE_BYTES_MAX: Final = 65_536


def new_keys(folder: DataFolder, password: str, *, light: bool = False) -> tuple[Address, str]:
    """Make both keys in `folder`; return the validator's address and the node's peer id.

    The keys are new, so the folder is marked: they may sign with an empty write-ahead log.
    """
    names = KeysSection()
    folder.make()
    key = PrivateKey.generate()
    save_key(folder.resolve(names.validator), key, password, light=light)
    node_key = generate_node_key()
    save_node_key(folder.resolve(names.node), node_key)
    folder.mark_fresh_key(key.address)
    return key.address, node_key.peer_id


def keyfile_address(path: Path) -> Address:
    """Return the address that a keystore file names, without its password."""
    try:
        document = json.loads(path.read_bytes()[:KEYFILE_BYTES_MAX])
        address = bytes.fromhex(document["address"].removeprefix("0x"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ConfigError(f"{path} is not a keystore file") from None
    return Address(address)


@click.group("keys")
def command() -> None:
    """Make and show the keys of a node.

    A node has two keys. The validator key signs votes; its file is encrypted. The node key names
    the node to its peers. A node without a validator key observes.
    """


@command.command("new")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder of the node; made when it is not there.",
)
@click.option(
    "--password-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File with the password; without it you are asked.",
)
def new(data_dir: Path, password_file: Path | None) -> None:
    """Make a validator key and a node key in a folder.

    \b
    Examples:
      qenex keys new --data-dir mynode
      qenex keys new --data-dir mynode --password-file pw.txt
    """
    if password_file is not None:
        password = read_password(password_file)
    else:
        password = click.prompt(
            "Password for the validator key", hide_input=True, confirmation_prompt=True, err=True
        )
    address, peer_id = new_keys(DataFolder(data_dir), password)
    _print(address, peer_id)
    click.echo(
        "Give both to whoever writes the genesis document; keep the folder secret.", err=True
    )


@command.command("show")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    required=True,
    help="Folder of the node.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(data_dir: Path, as_json: bool) -> None:
    """Print the validator's address and the node's peer id; no password is needed.

    \b
    Example:
      qenex keys show --data-dir mynode
    """
    folder, names = DataFolder(data_dir), KeysSection()
    validator = folder.resolve(names.validator)
    address = keyfile_address(validator) if validator.exists() else None
    peer_id = load_node_key(folder.resolve(names.node)).peer_id
    if as_json:
        shown = None if address is None else to_checksum_address(address)
        click.echo(json.dumps({"validator": shown, "peerId": peer_id}))
    else:
        _print(address, peer_id)


def _print(address: Address | None, peer_id: str) -> None:
    click.echo(f"validator  {'none' if address is None else to_checksum_address(address)}")
    click.echo(f"peer id    {peer_id}")
