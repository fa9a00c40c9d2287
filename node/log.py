"""Structured logs: a fixed phrase and facts as fields.

Human lines on a terminal, one JSON object a line otherwise. Keys and bytes of a person never go in;
`bytes` values are shown as 0x hex, shortened.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Final

import structlog

SHOWN_BYTES_MAX: Final = 8
LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


def _shorten(
    _logger: object, _name: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    for key, value in event.items():
        if isinstance(value, bytes):
            tail = "…" if len(value) > SHOWN_BYTES_MAX else ""
            event[key] = f"0x{value[:SHOWN_BYTES_MAX].hex()}{tail}"
    return event


def set_up_logs(level: str, style: str) -> None:
    """Set up logging for this process.

    `level` is debug, info, warning or error; `style` is human, json, or auto (human on a
    terminal).
    """
    human = style == "human" or (style == "auto" and sys.stderr.isatty())
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if human else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _shorten,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )


def get_log(room: str) -> structlog.typing.FilteringBoundLogger:
    """Return the logger of one room; each of its lines carries `room`."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(room=room)
    return logger
