"""The papers are true: links lead somewhere, commands exist, rooms and figures agree."""

import re
from pathlib import Path

import pytest

from scripts import changelog, tidy

ROOT = tidy.ROOT
PAPERS = [path for path in tidy.files() if path.suffix == ".md"]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE_PATH = re.compile(r"`((?:[a-z_]+/)+[a-z_*]+(?:\.[a-z]+)?)`")


def anchors(text: str) -> set[str]:
    """Return the anchors that a page's headings make."""
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("paper", PAPERS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(paper: Path) -> None:
    """Every link to a file of ours names a file that is there, and a heading that it has."""
    for link in LINK.findall(paper.read_text(encoding="utf-8")):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (paper.parent / name).resolve() if name else paper
        assert target.exists(), f"{paper.name}: {link}"
        if anchor:
            assert anchor in anchors(target.read_text(encoding="utf-8")), f"{paper.name}: {link}"


@pytest.mark.parametrize("name", ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_named_files_exist(name: str) -> None:
    """A path of ours in code type, with or without a star, is there."""
    for path in CODE_PATH.findall((ROOT / name).read_text(encoding="utf-8")):
        if path.split("/")[0] in {"localnet", "genesis.json"}:
            continue
        assert any(ROOT.glob(path)), f"{name}: {path}"


@pytest.mark.parametrize(
    "command",
    ["localnet", "dev", "init", "node", "keys", "genesis", "status", "validator", "peers", "db"],
)
def test_readme_names_every_command(command: str) -> None:
    """Each subcommand exists as a module and the README or the change notes name it."""
    assert (ROOT / "qenex" / "commands" / f"{command}.py").exists()
    assert re.search(rf"(qenex|scripts/) ?{command}\b", (ROOT / "README.md").read_text())


def test_notes_are_numbered() -> None:
    """Decisions are numbered, no number twice, and each says its status."""
    notes = sorted((ROOT / "docs" / "notes").glob("*.md"))
    numbers = [note.name[:5] for note in notes]
    assert all(re.fullmatch(r"\d{4}-", number) for number in numbers)
    assert len(set(numbers)) == len(numbers)
    assert all("\nStatus: " in note.read_text(encoding="utf-8") for note in notes)


def test_change_notes_can_be_folded() -> None:
    """Every note of docs/changes has a kind and a text."""
    folder = ROOT / "docs" / "changes"
    texts = [text for each in changelog.read_notes(folder).values() for text in each]
    assert len(texts) == len(list(folder.glob("*.md"))) > 0


def test_changelog_folds_newest_first(tmp_path: Path) -> None:
    """A release stands above older ones, breaking notes above others, kinds in their order."""
    (tmp_path / "b.added.md").write_text("Two\nlines.\n")
    (tmp_path / "c.added.md").write_text("Consensus: breaks.\n")
    (tmp_path / "a.fixed.md").write_text("Mended.\n")
    notes = changelog.read_notes(tmp_path)
    old = changelog.fold(changelog.HEADER, "0.1.0", "2026-01-01", {"added": ["Old."]})
    new = changelog.fold(old, "0.2.0", "2026-02-02", notes)
    order = [new.index(text) for text in ("0.2.0", "breaks", "Two lines.", "Mended", "0.1.0")]
    assert order == sorted(order)
    assert new.count(changelog.HEADER) == 1


@pytest.mark.parametrize("name", ["a.md", "a.new.md", "a.b.added.md"])
def test_changelog_refuses_other_kinds(tmp_path: Path, name: str) -> None:
    """A note that is no kind of change is refused by name."""
    (tmp_path / name).write_text("Text.\n")
    with pytest.raises(changelog.BadNote, match=name):
        changelog.read_notes(tmp_path)
