"""`qenex init`: make the data folder of a node."""

from __future__ import annotations

import os
from pathlib import Path

import click
from eth_utils.address import to_checksum_address

from genesis.document import Genesis, load
from node.config import KeysSection, Value, sample_toml
from node.folder import DataFolder
from node.keys import read_password
from p2p.keys import generate_node_key, load_node_key, save_node_key
from primitives.errors import ConfigError
from qenex.commands.keys import keyfile_address, new_keys


@click.command("init")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder to make; it may hold keys made by `qenex keys new`.",
)
@click.option(
    "--genesis",
    "genesis_file",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="Genesis document of the network.",
)
@click.option(
    "--validator-key",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Keystore file to copy into the folder.",
)
@click.option(
    "--node-key",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Node key file to copy into the folder; without it one is made.",
)
@click.option("--new-keys", "make_keys", is_flag=True, help="Make both keys anew.")
@click.option(
    "--password-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File with the keystore's password; noted in config.toml.",
)
def command(
    *,
    data_dir: Path,
    genesis_file: Path,
    validator_key: Path | None,
    node_key: Path | None,
    make_keys: bool,
    password_file: Path | None,
) -> None:
    """Make the data folder of a node: genesis document, keys, config.toml.

    A folder without a validator key is an observer's.

    \b
    Examples:
      qenex init --data-dir mynode --genesis genesis.json
      qenex init --data-dir mynode --genesis genesis.json --new-keys --password-file pw.txt
      qenex init --data-dir mynode --genesis genesis.json --validator-key backup.json
    """
    folder = DataFolder(data_dir)
    if folder.genesis.exists() or folder.config.exists():
        raise ConfigError(f"{data_dir} is a data folder already; choose another")
    genesis = load(genesis_file)
    folder.make()
    if make_keys:
        if validator_key or node_key:
            raise ConfigError("--new-keys does not go with --validator-key or --node-key")
        new_keys(folder, _password(password_file))
    _place_keys(folder, validator_key, node_key)
    chosen: dict[str, Value] = {}
    if password_file is not None:
        chosen["keys.password_file"] = str(password_file.resolve())
    folder.config.write_text(sample_toml(chosen), encoding="utf-8")
    folder.genesis.write_bytes(genesis_file.read_bytes())
    _report(folder, genesis)


def _password(file: Path | None) -> str:
    if file is not None:
        return read_password(file)
    answer: str = click.prompt(
        "Password for the validator key", hide_input=True, confirmation_prompt=True, err=True
    )
    return answer


def _place_keys(folder: DataFolder, validator_key: Path | None, node_key: Path | None) -> None:
    names = KeysSection()
    if validator_key is not None:
        keyfile_address(validator_key)
        target = folder.resolve(names.validator)
        try:
            handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise ConfigError(f"{target} exists; keys are never overwritten") from None
        with os.fdopen(handle, "wb") as file:
            file.write(validator_key.read_bytes())
    own = folder.resolve(names.node)
    if node_key is not None:
        save_node_key(own, load_node_key(node_key))
    elif not own.exists():
        save_node_key(own, generate_node_key())


def _report(folder: DataFolder, genesis: Genesis) -> None:
    names = KeysSection()
    peer_id = load_node_key(folder.resolve(names.node)).peer_id
    validator = folder.resolve(names.validator)
    print(f"made {folder.path} for chain id {genesis.params.chain_id}")
    print(f"peer id    {peer_id}")
    if all(each.peer_id != peer_id for each in genesis.nodes):
        print("           not among the genesis nodes: peers refuse it until `qenex peers propose`")
    if validator.exists():
        address = keyfile_address(validator)
        print(f"validator  {to_checksum_address(address)}")
        if address not in genesis.validators:
            print("           not among the genesis validators: it observes until voted in")
    else:
        print("validator  none: this node observes")
    print(f"run it:    qenex node --data-dir {folder.path}")
