"""JSON Schema (draft 2020-12) of a manifest, made from the table of keys, for editors that complete and check TOML."""

from __future__ import annotations

from typing import Any

from .keys import KINDS, MANIFEST, PACKAGE, Key

_TEXT = {"type": "string"}
_SIMPLE: dict[str, dict[str, Any]] = {
    "text": _TEXT,
    "path": _TEXT,
    "name": {"type": "string", "pattern": r"^[A-Za-z0-9@_+*?\[][A-Za-z0-9@._+:*?\[\]!/-]*$"},
    "whole": {"type": "integer"},
    "yes": {"type": "boolean"},
    "versions": {"type": "string", "examples": ["1.2", ">=1.2", ">=1, <2"]},
    "siglevel": {"type": "string", "examples": ["required", "PackageRequired DatabaseOptional"]},
    "setuid": {"anyOf": [{"enum": ["allow", "deny"]}, {"type": "array", "items": _TEXT}]},
}


def json_schema() -> dict[str, Any]:
    """The schema of schema version 1."""
    schema = _table(MANIFEST)
    schema["properties"]["schema"] = {"const": 1, "description": MANIFEST[0].help}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "rastOS package manifest (packages.toml)",
        "description": f"Declared packages, rules and channels; kinds of channels: {', '.join(KINDS)}",
        **schema,
    }


def _table(keys: tuple[Key, ...]) -> dict[str, Any]:
    required = [key.name for key in keys if key.required]
    schema: dict[str, Any] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {key.name: {**_key(key), "description": key.help} for key in keys},
    }
    return {**schema, "required": required} if required else schema


def _key(key: Key) -> dict[str, Any]:
    if key.value is not None:
        value = _value(Key(key.name, key.value, key.help))
        if key.name == "replace":
            value = {"anyOf": [value, {"const": False}]}
        return {"type": "object", "additionalProperties": value}
    if key.table:
        below = _table(key.table)
        if key.many == "list":
            return {"type": "array", "items": below}
        if key.many == "named":
            if key.name == "sets":
                below = {"anyOf": [below, _packages()]}
            return {"type": "object", "additionalProperties": below}
        return below
    return _value(key)


def _value(key: Key) -> dict[str, Any]:
    if key.what == "choice":
        return {"enum": list(key.choices)}
    if key.what == "texts":
        item: dict[str, Any] = {"enum": list(key.choices)} if key.choices else _TEXT
        return {"anyOf": [item, {"type": "array", "items": item}]}
    if key.what == "names":
        return {"type": "array", "items": _SIMPLE["name"]}
    if key.what == "packages":
        return _packages()
    return _SIMPLE[str(key.what)]


def _packages() -> dict[str, Any]:
    return {"type": "array", "items": {"anyOf": [_TEXT, _table(PACKAGE)]}}
