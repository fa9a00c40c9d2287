"""A small JSON Schema check: the keywords that execution-apis' dereferenced openrpc.json uses.

An unknown keyword is an error, so that nothing passes because it was not looked at.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from tests.vectors import vectors

_TYPES: dict[str, type | tuple[type, ...]] = {
    "null": type(None),
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "number": (int, float),
    "integer": int,
}
_KNOWN = {
    "title", "description", "type", "pattern", "required", "properties", "items", "oneOf",
    "anyOf", "allOf", "not", "enum", "const", "minimum", "maximum", "minItems", "maxItems",
    "additionalProperties", "default", "examples", "example", "deprecated", "patternProperties",
    "minLength", "maxLength", "uniqueItems", "format", "$comment",
}  # fmt: skip


@cache
def _methods() -> dict[str, Any]:
    document = json.loads(vectors("execution-apis", "openrpc.json").read_bytes())
    return {each["name"]: each for each in document["methods"]}


def method_names() -> list[str]:
    """Return the methods that execution-apis specifies, but for the engine's."""
    return sorted(name for name in _methods() if not name.startswith("engine_"))


def params_of(method: str) -> list[dict[str, Any]]:
    """Return the specified parameters of a method."""
    found: list[dict[str, Any]] = _methods()[method]["params"]
    return found


def specified(method: str) -> bool:
    """Return whether execution-apis specifies the method."""
    return method in _methods()


def check_result(method: str, result: object) -> None:
    """Fail unless `result` fits the method's schema."""
    problems = _problems(result, _methods()[method]["result"]["schema"], method)
    assert not problems, "; ".join(problems)


def check_params(method: str, params: Sequence[object]) -> None:
    """Fail unless `params` fit the schemas of the method's parameters."""
    known = _methods()[method]["params"]
    assert len(params) <= len(known), f"{method} takes {len(known)} parameters"
    for position, each in enumerate(known):
        if position < len(params):
            problems = _problems(params[position], each["schema"], f"{method} {each['name']}")
            assert not problems, "; ".join(problems)
        else:
            assert not each.get("required"), f"{method} wants {each['name']}"


def _problems(value: Any, schema: Any, at: str) -> list[str]:
    if schema is True:
        return []
    if schema is False:
        return [f"{at} must not be there"]
    unknown = set(schema) - _KNOWN
    assert not unknown, f"schema keywords not understood: {unknown}"
    found = _scalar_problems(value, schema, at)
    if isinstance(value, dict):
        found += _object_problems(value, schema, at)
    if isinstance(value, list) and "items" in schema:
        for position, each in enumerate(value):
            found += _problems(each, schema["items"], f"{at}[{position}]")
    for each in schema.get("allOf", []):
        found += _problems(value, each, at)
    for keyword in ("oneOf", "anyOf"):
        if keyword not in schema:
            continue
        tried = [_problems(value, each, at) for each in schema[keyword]]
        fits = sum(not each for each in tried)
        if fits == 0 or (keyword == "oneOf" and fits > 1):
            found.append(f"{at} fits {fits} of {keyword}: {min(tried, key=len)}")
    if "not" in schema and not _problems(value, schema["not"], at):
        found.append(f"{at} fits what it must not")
    return found


def _scalar_problems(value: Any, schema: dict[str, Any], at: str) -> list[str]:
    found = []
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(_is_kind(value, kind) for kind in kinds):
        found.append(f"{at} is {value!r}, want {kinds}")
    if isinstance(value, str) and not re.search(schema.get("pattern", ""), value):
        found.append(f"{at} is {value!r}, want {schema['pattern']}")
    if "enum" in schema and value not in schema["enum"]:
        found.append(f"{at} is {value!r}, want one of {schema['enum']}")
    if "const" in schema and value != schema["const"]:
        found.append(f"{at} is {value!r}, want {schema['const']}")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        low, high = schema.get("minimum", value), schema.get("maximum", value)
        if not low <= value <= high:
            found.append(f"{at} is {value}, want {low} to {high}")
    return found


def _is_kind(value: Any, kind: str) -> bool:
    if kind in ("number", "integer") and isinstance(value, bool):
        return False
    return isinstance(value, _TYPES[kind])


def _object_problems(value: dict[str, Any], schema: dict[str, Any], at: str) -> list[str]:
    properties = schema.get("properties", {})
    found = [f"{at}.{name} is missing" for name in schema.get("required", []) if name not in value]
    for name, each in value.items():
        if name in properties:
            found += _problems(each, properties[name], f"{at}.{name}")
        elif "additionalProperties" in schema and not schema.get("patternProperties"):
            found += _problems(each, schema["additionalProperties"], f"{at}.{name}")
    return found
