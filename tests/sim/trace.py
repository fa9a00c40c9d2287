"""Readable words for inputs, effects and states: short hashes, no signatures."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from enum import Enum


def brief(value: object) -> str:
    """Return one line for `value`; bytes appear by their last three bytes."""
    if isinstance(value, bytes):
        return value[-3:].hex() if any(value) else "nil"
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, tuple):
        return "(" + ", ".join(map(brief, value)) + ")"
    if is_dataclass(value) and not isinstance(value, type):
        shown = (
            f"{each.name}={brief(getattr(value, each.name))}"
            for each in fields(value)
            if each.name not in ("signature", "body", "votes", "signatures", "validators")
        )
        return f"{type(value).__name__}({', '.join(shown)})"
    return str(value)
