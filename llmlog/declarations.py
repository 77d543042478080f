"""Definitions of tools and formats as OpenAI's models read them: TypeScript, and compact JSON."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["as_json", "function_in", "get", "mapping", "namespace", "schema_of"]


def get(item: Any, key: str) -> Any:
    """`item`'s value for `key`: a mapping's, or an object's attribute; else None."""
    try:
        return item.get(key) if isinstance(item, Mapping) else getattr(item, key, None)
    except Exception:
        return None


def mapping(item: Any) -> Mapping[str, Any]:
    """A mapping, or an object of an SDK, or a class of pydantic's, as one."""
    if isinstance(item, Mapping):
        return item
    try:
        if isinstance(item, type):  # pydantic's, which stands for its schema
            dumped = item.model_json_schema() if hasattr(item, "model_json_schema") else {}
        else:
            dump = getattr(item, "model_dump", None)
            told = {"exclude_none": True} if hasattr(type(item), "__pydantic_fields__") else {}
            dumped = dump(**told) if callable(dump) else getattr(item, "__dict__", None)
    except Exception:  # it is no more than like them
        dumped = None
    return dumped if isinstance(dumped, Mapping) else {}


def as_json(value: Any, separators: tuple[str, str] | None = None) -> str:
    """The value as JSON; "" where that cannot be."""
    try:
        return json.dumps(value, ensure_ascii=False, default=mapping, separators=separators)
    except Exception:  # it holds itself, or an odd key
        return ""


def schema_of(response_format: Any) -> str | None:
    """The JSON schema of a `response_format`, or of Responses' `text.format`, as it is sent to the model; None: none.

    Without its `additionalProperties: false`, which a strict schema has everywhere.
    """
    wrapped = get(response_format, "json_schema")
    schema = get(response_format if wrapped is None else wrapped, "schema")
    if get(response_format, "type") != "json_schema" or not (schema := mapping(schema)):
        return None
    return as_json(_plain(schema, 20), separators=(",", ":"))


def _plain(schema: Any, depth: int) -> Any:
    if depth and isinstance(schema, Mapping):
        kept = {name: each for name, each in schema.items() if not (name == "additionalProperties" and each is False)}
        return {name: _plain(each, depth - 1) for name, each in kept.items()}
    return [_plain(each, depth - 1) for each in schema] if depth and isinstance(schema, list) else schema


def function_in(tool: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The function that a definition, of Chat Completions, of Responses or a bare one, describes."""
    function = tool.get("function", tool)
    return function if isinstance(function, Mapping) and isinstance(function.get("name"), str) else None


def namespace(functions: Sequence[Mapping[str, Any]]) -> str:
    """Function definitions as the model reads them: declarations in a TypeScript namespace."""
    lines = ["namespace functions {", ""]
    for function in functions:
        schema = function.get("parameters") or function.get("input_schema") or {}
        lines += _comment(function)
        fields = _fields(schema)
        title = f" // {schema['title']}\n" if isinstance(schema.get("title"), str) else ""
        signature = f"(_: {title}{{\n{fields}\n}})" if fields else "()"
        lines += [f"type {function['name']} = {signature} => any;", ""]
    return "\n".join([*lines, "} // namespace functions"])


def _fields(schema: Mapping[str, Any]) -> str:
    required = schema.get("required") or ()
    lines = []
    for name, field in (schema.get("properties") or {}).items():
        if not isinstance(field, Mapping):
            field = {}
        if isinstance(field.get("title"), str):
            lines.append(f"// {field['title']}")
        lines += _comment(field)
        default = f" // default: {as_json(field['default'])}" if "default" in field else ""
        lines.append(f"{name}{'' if name in required else '?'}: {_type(field)},{default}")
    return "\n".join(lines)


def _comment(schema: Mapping[str, Any]) -> list[str]:
    description = schema.get("description")
    return [f"// {inspect.cleandoc(description)}"] if isinstance(description, str) and description else []


def _type(schema: Any) -> str:
    """A JSON schema as a TypeScript type."""
    if not isinstance(schema, Mapping):
        return "any"
    if "enum" in schema:
        return " | ".join(map(as_json, schema["enum"]))
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return " | ".join(map(_type, schema[key]))
    kind = schema.get("type")
    if isinstance(kind, (list, tuple)):
        return " | ".join(_type({**schema, "type": each}) for each in kind)
    if kind == "array":
        return f"{_type(schema.get('items'))}[]"
    if kind == "object" or "properties" in schema:
        fields = _fields(schema)
        return f"{{\n{fields}\n}}" if fields else "object"
    if kind in ("integer", "number"):
        return "number"
    return kind if kind in ("string", "boolean", "null") else "any"
