"""Fold the change notes of `docs/changes` into CHANGELOG.md: `python -m scripts.changelog 0.2.0`.

One change has one file, `<slug>.<added|changed|fixed|removed|security>.md`, so that branches never
collide in one list. A release takes them all in, newest release first, and deletes them. Notes
that open with "Consensus:" break the network's rules and stand first.
"""

import argparse
import re
import sys
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KINDS = ("security", "added", "changed", "fixed", "removed")
BREAKING = "Consensus:"
HEADER = (
    "# Changelog\n\nWritten by `python -m scripts.changelog` from `docs/changes`; not by hand.\n"
)


class BadNote(ValueError):
    """A change note with a name or a text that can not be folded."""


def read_notes(folder: Path) -> dict[str, list[str]]:
    """Return the texts of all notes by kind, breaking ones first, else by file name.

    Raises BadNote, naming the file, for a kind that does not exist or an empty text.
    """
    notes: dict[str, list[str]] = {kind: [] for kind in KINDS}
    for path in sorted(folder.glob("*.md")):
        kind = path.name.split(".")[-2]
        text = " ".join(path.read_text(encoding="utf-8").split())
        if path.name.count(".") != 2 or kind not in notes:
            raise BadNote(f"{path.name}: name it <slug>.<{'|'.join(KINDS)}>.md")
        if not text:
            raise BadNote(f"{path.name}: the note is empty")
        notes[kind].append(text)
    return {
        kind: sorted(texts, key=lambda text: not text.startswith(BREAKING))
        for kind, texts in notes.items()
    }


def fold(changelog: str, version: str, day: str, notes: dict[str, list[str]]) -> str:
    """Return the changelog with one more release on top."""
    lines = [f"## {version} ({day})", ""]
    for kind, texts in notes.items():
        if texts:
            lines += [f"### {kind.capitalize()}", "", *(f"- {text}" for text in texts), ""]
    older = changelog.removeprefix(HEADER)
    return HEADER + "\n" + "\n".join(lines) + (older if older.strip() else "")


def main() -> None:
    """Write CHANGELOG.md and delete the notes it took in."""
    parser = argparse.ArgumentParser(prog="python -m scripts.changelog", description=__doc__)
    parser.add_argument("version", help="of the release, like 0.2.0")
    version = parser.parse_args().version
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        sys.exit(f"changelog: {version} is no version like 0.2.0")
    path, folder = ROOT / "CHANGELOG.md", ROOT / "docs" / "changes"
    try:
        notes = read_notes(folder)
    except BadNote as error:
        sys.exit(f"changelog: {error}")
    if not any(notes.values()):
        sys.exit("changelog: no notes in docs/changes")
    day = datetime.now(UTC).strftime("%Y-%m-%d")
    path.write_text(fold(path.read_text(encoding="utf-8"), version, day, notes), encoding="utf-8")
    for note in folder.glob("*.md"):
        note.unlink()
    print(f"changelog: {version} holds {sum(map(len, notes.values()))} notes")


if __name__ == "__main__":
    main()
