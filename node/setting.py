"""How a setting is declared: a dataclass field with its help, its bounds and its default."""

from __future__ import annotations

from dataclasses import field
from typing import Any, Final

PORT_MAX: Final = 65_535
KIBIBYTE: Final = 1_024
MEBIBYTE: Final = 1_024 * KIBIBYTE


def setting(
    default: Any,
    text: str,
    *,
    low: float | None = None,
    high: float | None = None,
    one_of: tuple[str, ...] = (),
    form: str = "",
    secret: bool = False,
) -> Any:
    """A field with its help; text has the regular expression `form`, if given.

    `secret` values come from the environment alone and are in no repr.
    """
    metadata = {
        "help": text,
        "low": low,
        "high": high,
        "one_of": one_of,
        "form": form,
        "secret": secret,
    }
    return field(default=default, metadata=metadata, repr=not secret)
