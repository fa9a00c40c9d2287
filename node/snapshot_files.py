"""Snapshots as files: one folder that can be copied anywhere, and be believed nowhere.

    manifest.json    format, chain, height, hashes; name, size and hash of all files, in order
    point.bin        the block and what a node needs to go on from it (`node.snapshot`)
    steps.bin        the light client's steps from the genesis block to that block
    NNNNNN.rows      chunks of the state, unit by unit, each with the code that it is first to need

`import_snapshot` reads the manifest, proves the header by the steps (from the genesis block on, and
by way of a hash that the caller trusts, if given), and takes the chunks in order. Every file is
compared with its hash before it is used, so damage is found at once; a forgery with right hashes is
found when the state gives another root than the header. Nothing is seen by a node before that.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from consensus.lightclient import Trusted
from node.blockstore import STEP_PREFIX, ChainView
from node.snapshot import (
    HEADERS_BEFORE,
    STEPS_MAX,
    UNITS,
    InvalidSnapshot,
    Place,
    Point,
    Row,
    advance,
    check_point,
    decode_point,
    decode_rows,
    decode_step,
    encode_point,
    encode_rows,
    encode_step,
    prove,
    read_chunk,
    unit_of,
)
from node.snapshot_build import Builder, Progress
from primitives.block import Block, encode_header
from primitives.codec import as_bytes, decode_list, encode
from primitives.crypto.keccak import keccak
from primitives.errors import ConfigError, HistoryPruned, Invalid, InvalidMessage
from primitives.keyvalue import Column, KeyValueReader
from primitives.receipt import encode_receipt
from primitives.types import ADDRESS_BYTES, EMPTY_CODE_HASH, ChainId, Hash32, Height
from vm.blocks import Executed
from vm.state.encoding import decode_slim
from vm.state.history import PastReader, height_key

FORMAT: Final = "qenex-snapshot-1"
MANIFEST: Final = "manifest.json"
MANIFEST_BYTES_MAX: Final = 64 * 2**20
FILE_BYTES_MAX: Final = 64 * 2**20
FILES_MAX: Final = 1_000_000
GENESIS: Final = "genesis"


def trusted_genesis(genesis: Executed) -> Trusted:
    """Return the trust that every node begins with."""
    header = genesis.block.header
    return Trusted(Height(0), genesis.block.hash, header.timestamp, genesis.validators)


# --- reading a chain ------------------------------------------------------------------------------


def state_reader(view: ChainView, height: int) -> KeyValueReader:
    """Return the state's tables after the block at `height`; raises HistoryPruned."""
    if height == view.height:
        return view.store
    if not view.tail <= height < view.height:
        raise HistoryPruned("pruned history unavailable", height=height, oldest=view.tail)
    return PastReader(view.store, height)


def read_point(view: ChainView, height: int) -> Point:
    """Return the point of a block of this chain; raises HistoryPruned, Invalid for height 0."""
    header, parent = view.header(height), view.header(height - 1)
    block, receipts = view.raw_block(height), view.receipts(height)
    certificate = view.certificate(height)
    if header is None or parent is None or block is None or receipts is None or not certificate:
        raise InvalidMessage(f"there is no snapshot of block {height}")
    first = max(0, height - HEADERS_BEFORE)
    earlier = [view.header(each) for each in range(first, height)]
    return Point(
        header,
        certificate,
        view.encoded_set(parent.extra_data),
        view.encoded_set(header.extra_data),
        tuple(each for each in earlier if each is not None),
        block,
        tuple(encode_receipt(each) for each in receipts),
    )


def read_step(view: ChainView, height: int) -> bytes:
    """Return the step to the block at `height`; raises HistoryPruned, InvalidMessage."""
    stored = view.store.get(Column.META, STEP_PREFIX + height_key(height))
    if stored is not None:
        return stored
    header, parent = view.header(height), view.header(height - 1)
    certificate = view.certificate(height)
    if header is None or parent is None or not certificate:
        raise InvalidMessage(f"there is no step to block {height}")
    deciding = view.encoded_set(parent.extra_data)
    is_same = header.extra_data == parent.extra_data
    following = b"" if is_same else view.encoded_set(header.extra_data)
    return encode_step(
        encode_header(header), certificate, following, [encode_header(parent), deciding]
    )


def read_steps(view: ChainView, trusted: Trusted, height: int, chain_id: ChainId) -> list[bytes]:
    """Return the steps from `trusted` to a height of this chain.

    A chain that began with a snapshot has the steps to that one stored and goes on from there.
    """
    known = [raw for _, raw in view.store.scan(Column.META, STEP_PREFIX)]
    steps = [raw for raw in known if decode_step(raw).height <= height]
    for raw in steps:
        trusted = advance(trusted, decode_step(raw), chain_id)
    search = prove(trusted, height, chain_id)
    try:
        wanted = next(search)
        while True:
            wanted = search.send(read_step(view, wanted))
    except StopIteration as found:
        return [*steps, *found.value[1]]


# --- writing files --------------------------------------------------------------------------------


def export_snapshot(
    view: ChainView,
    height: int,
    genesis: Trusted,
    chain_id: ChainId,
    target: Path,
    progress: Progress,
) -> dict[str, Any]:
    """Write the snapshot of the block at `height` into the new folder `target`.

    Returns the manifest. It is written last: a folder without it is no snapshot. Raises
    ConfigError when the folder is not empty, HistoryPruned when the state is not kept.
    """
    state = state_reader(view, height)
    point = read_point(view, height)
    steps = read_steps(view, genesis, height, chain_id)
    target.mkdir(parents=True, exist_ok=True)
    if any(target.iterdir()):
        raise ConfigError(f"{target} is not empty; a snapshot goes into a folder of its own")
    files = [
        _write(target, "point.bin", encode_point(point)),
        _write(target, "steps.bin", encode(list(steps))),
    ]
    rows = 0
    for number, chunk in enumerate(_chunks(state)):
        rows += len(chunk)
        files.append(_write(target, f"{number:06}.rows", encode_rows(chunk)))
        progress("rows", rows, 0)
    manifest = {
        "format": FORMAT,
        "chainId": chain_id,
        GENESIS: "0x" + genesis.block_hash.hex(),
        "height": height,
        "block": "0x" + point.header.hash.hex(),
        "stateRoot": "0x" + point.header.state_root.hex(),
        "files": files,
    }
    _write(target, MANIFEST, json.dumps(manifest, indent=1).encode() + b"\n")
    return manifest


def _chunks(state: KeyValueReader) -> Iterator[list[Row]]:
    """Yield the chunks of all units, each code with the first account that has it."""
    known: set[Hash32] = set()
    for unit in range(UNITS):
        after: Place | None = Place()
        while after is not None:
            rows, after = read_chunk(state, unit, after)
            if rows:
                yield [*rows, *_codes(state, rows, known)]


def _codes(state: KeyValueReader, rows: list[Row], known: set[Hash32]) -> Iterator[Row]:
    for key, value in rows:
        if len(key) == ADDRESS_BYTES:
            code_hash = decode_slim(value).code_hash
            code = state.get(Column.CODE, code_hash)
            if code_hash != EMPTY_CODE_HASH and code_hash not in known and code is not None:
                known.add(code_hash)
                yield b"", code


def _write(folder: Path, name: str, raw: bytes) -> dict[str, Any]:
    with (folder / name).open("wb") as file:
        file.write(raw)
        file.flush()
        os.fsync(file.fileno())
    return {"name": name, "bytes": len(raw), "hash": "0x" + keccak(raw).hex()}


# --- reading files --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _File:
    name: str
    size_bytes: int
    hash: bytes


def import_snapshot(
    source: Path,
    builder: Callable[[], Builder],
    genesis: Executed,
    chain_id: ChainId,
    trusted_hash: bytes | None,
    progress: Progress,
) -> Point:
    """Fill what `builder` makes with the snapshot in `source` and make it ready; return its point.

    `trusted_hash` is the hash of a block that the caller believes; None: the genesis block's.
    Raises InvalidSnapshot or ConfigError, and then nothing is ready.
    """
    files = _manifest(source, genesis.block.hash, chain_id)
    if [each.name for each in files[:2]] != ["point.bin", "steps.bin"]:
        raise InvalidSnapshot(f"{source / MANIFEST}: the point and its steps come first")
    point, block, steps = _proven(source, files[0], files[1], genesis, chain_id, trusted_hash)
    part = builder()
    try:
        _take_chunks(source, files[2:], part, progress)
        part.finish(point, block, steps, genesis, progress=progress)
    finally:
        part.close()
    return point


def _manifest(source: Path, genesis_hash: bytes, chain_id: ChainId) -> list[_File]:
    path = source / MANIFEST
    try:
        with path.open("rb") as file:
            raw = file.read(MANIFEST_BYTES_MAX + 1)
        document = json.loads(raw.decode("utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot read the snapshot: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise InvalidSnapshot(f"{path}: damaged, not a manifest") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise InvalidSnapshot(f"{path}: not a snapshot of this format ({FORMAT})")
    found = document.get("chainId"), document.get(GENESIS)
    if found != (chain_id, "0x" + genesis_hash.hex()):
        raise InvalidSnapshot(
            f"the snapshot is of another chain: id {found[0]}, genesis {found[1]}; "
            f"ours is id {chain_id}, genesis 0x{genesis_hash.hex()}"
        )
    rows = document.get("files")
    if not isinstance(rows, list) or not 2 <= len(rows) <= FILES_MAX:
        raise InvalidSnapshot(f"{path}: damaged, no list of files")
    return [_file(path, row) for row in rows]


def _file(path: Path, row: Any) -> _File:
    wrong = InvalidSnapshot(f"{path}: damaged, a line of its files is wrong")
    try:
        name, size, text = row["name"], row["bytes"], row["hash"]
        file = _File(name, size, bytes.fromhex(text.removeprefix("0x")))
        is_plain = Path(name).name == name
    except (KeyError, TypeError, ValueError, AttributeError):
        raise wrong from None
    if not is_plain or type(size) is not int or not 0 < size <= FILE_BYTES_MAX:
        raise wrong
    return file


def _read(source: Path, file: _File) -> bytes:
    path = source / file.name
    try:
        with path.open("rb") as stream:
            raw = stream.read(file.size_bytes + 1)
    except OSError as error:
        raise InvalidSnapshot(f"{path}: missing from the snapshot: {error.strerror}") from None
    if len(raw) != file.size_bytes or keccak(raw) != file.hash:
        raise InvalidSnapshot(f"{path}: damaged: its size or hash is not the manifest's")
    return raw


def _proven(
    source: Path,
    point_file: _File,
    steps_file: _File,
    genesis: Executed,
    chain_id: ChainId,
    trusted_hash: bytes | None,
) -> tuple[Point, Block, list[bytes]]:
    """Return the point, its block and the steps, proven from the genesis or the trusted hash."""
    try:
        point = decode_point(_read(source, point_file))
        steps = [as_bytes(each) for each in decode_list(_read(source, steps_file))]
        trusted = trusted_genesis(genesis)
        passed = {trusted.block_hash}
        for raw in steps[:STEPS_MAX]:
            trusted = advance(trusted, decode_step(raw), chain_id)
            passed.add(trusted.block_hash)
        block = check_point(point, trusted)
    except InvalidSnapshot:
        raise
    except Invalid as error:
        raise InvalidSnapshot(f"the snapshot is not proven: {error.message}") from None
    if trusted_hash is not None and trusted_hash not in passed:
        raise InvalidSnapshot("the snapshot's proof does not pass by the trusted block")
    return point, block, steps


def _take_chunks(source: Path, files: list[_File], part: Builder, progress: Progress) -> None:
    unit = -1
    for number, file in enumerate(files):
        try:
            rows = decode_rows(_read(source, file))
        except InvalidMessage as error:
            raise InvalidSnapshot(f"{source / file.name}: damaged: {error.message}") from None
        first = next((key for key, _ in rows if len(key) == ADDRESS_BYTES), None)
        following = unit if first is None else unit_of(keccak(first))
        if following < unit:
            raise InvalidSnapshot(f"{source / file.name}: the chunks are not in order")
        while unit < following:
            if unit >= 0:
                part.finish_unit(unit)
            unit += 1
            part.start_unit(unit)
        part.add(unit, rows)
        progress("chunks", number + 1, len(files))
    if unit >= 0:
        part.finish_unit(unit)
