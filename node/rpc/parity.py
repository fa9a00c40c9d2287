"""OpenEthereum's shapes from our tracers: frames without their place, and state differences.

A difference is "=" for no change, {"+": new}, {"-": old}, or {"*": {"from": old, "to": new}}.
"""

from __future__ import annotations

from typing import Any, Final

from node.rpc.encode import Json
from primitives.types import Address, Nonce, Wei
from vm.overrides import AccountOverride
from vm.trace.requests import FlatCalls, Prestate

FRAMES: Final = FlatCalls(parity_errors=True)
DIFF_REQUEST: Final = Prestate(diff=True)

_PLACE: Final = ("blockHash", "blockNumber", "transactionHash", "transactionPosition")
_NO_SLOT: Final = "0x" + "00" * 32
_PLAIN: Final = {"balance": "0x0", "nonce": "0x0", "code": "0x"}


def without_place(frame: Json) -> Json:
    """Return a frame as replays show it, which name the transaction elsewhere."""
    shown = {name: value for name, value in frame.items() if name not in _PLACE}
    shown.setdefault("result", None)
    if "error" in shown:
        del shown["result"]
    return shown


def state_diff(found: Any) -> Json:
    """Return the difference of each account from the prestateTracer's diffMode."""
    before, after = found["pre"], found["post"]
    return {
        address: _account(before.get(address), after.get(address))
        for address in sorted({*before, *after})
    }


def effect_of(found: Any) -> dict[Address, AccountOverride]:
    """Return what a message changed, from the prestateTracer's diffMode, as overrides."""
    before, after = found["pre"], found["post"]
    return {
        Address(bytes.fromhex(name[2:])): _override(before.get(name, {}), after.get(name, {}))
        for name in {*before, *after}
    }


def _override(old: Json, new: Json) -> AccountOverride:
    balance, nonce, code = new.get("balance"), new.get("nonce"), new.get("code")
    slots = dict.fromkeys(old.get("storage", {}), _NO_SLOT) | new.get("storage", {})
    return AccountOverride(
        balance=None if balance is None else Wei(int(balance, 16)),
        nonce=None if nonce is None else Nonce(nonce),
        code=None if code is None else bytes.fromhex(code[2:]),
        state_diff={int(slot, 16): int(value, 16) for slot, value in slots.items()},
    )


def _account(old: Json | None, new: Json | None) -> Json:
    shown: Json = {}
    for name, plain in _PLAIN.items():
        shown[name] = _field(
            None if old is None else _value(old, name, plain),
            None if new is None else _value(new, name, plain),
            is_changed=new is not None and name in new,
        )
    slots = {*(old or {}).get("storage", {}), *(new or {}).get("storage", {})}
    shown["storage"] = {
        slot: {
            "*": {
                "from": (old or {}).get("storage", {}).get(slot, _NO_SLOT),
                "to": (new or {}).get("storage", {}).get(slot, _NO_SLOT),
            }
        }
        for slot in sorted(slots)
    }
    return shown


def _value(account: Json, name: str, plain: str) -> str:
    value = account.get(name, plain)
    return hex(value) if isinstance(value, int) else str(value)


def _field(old: str | None, new: str | None, *, is_changed: bool) -> object:
    if old is None:
        return {"+": new}
    if new is None:
        return {"-": old}
    if not is_changed or old == new:
        return "="
    return {"*": {"from": old, "to": new}}
