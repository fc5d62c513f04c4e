"""The page of the Python interface: what `import micl_cli` offers, from its signatures and docstrings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import micl_cli
from generator.markdown import page, prose

_LONG = 70
"""The length of a signature that is written on several lines."""


def pages() -> dict[str, str]:
    """Return the page by path."""
    return {"reference/python.md": interface_page()}


def interface_page() -> str:
    """Return the page of the names of the package."""
    text = (
        "What `import micl_cli` offers to scripts and notebooks. Errors are exceptions of `micl_cli.errors` with the "
        "message and the way out that the command line prints. Plugins import [`micl_cli.api`](../plugins.md) instead."
    )
    sections = [block for name in micl_cli._MODULES for block in _section(name, getattr(micl_cli, name))]
    return page("Python interface", text, *sections)


def _section(name: str, found: Any) -> Iterator[str]:
    """Yield the signature and description of a function or class, and those of its public members."""
    yield f"## {name}"
    yield from _described(name, found)
    for member in vars(found) if inspect.isclass(found) else ():
        value = inspect.getattr_static(found, member)
        function = getattr(value, "fget", None) or getattr(value, "__func__", value)
        if not member.startswith("_") and inspect.isfunction(function):
            yield f"### {name}.{member}"
            yield from _described(member, function, is_property=isinstance(value, property))


def _described(name: str, found: Any, *, is_property: bool = False) -> Iterator[str]:
    """Yield the signature of a function, or the type of a property, and the description."""
    if is_property:
        yield f"```python\n{name}: {_signature(found).partition(' -> ')[2]}\n```"
    elif not inspect.isclass(found):
        yield f"```python\n{name}{_signature(found)}\n```"
    yield "\n\n".join(_paragraph(each) for each in (inspect.getdoc(found) or "").split("\n\n"))


def _paragraph(text: str) -> str:
    """Return a paragraph of a docstring; examples of the interpreter are code."""
    return f"```text\n{text}\n```" if text.startswith(">>>") else prose(text)


def _signature(found: Any) -> str:
    """Return a signature without the object; a long one has a line for each parameter."""
    whole = inspect.signature(found)
    parameters = [each for each in whole.parameters.values() if each.name not in ("self", "cls")]
    text = re.sub(r"(?<=: |> )'([^']*)'", r"\1", str(whole.replace(parameters=parameters)))
    if len(text) < _LONG:
        return text
    lines = [re.sub(r"(?<=: )'([^']*)'", r"\1", str(each)) for each in parameters]
    first_named = next((n for n, each in enumerate(parameters) if each.kind is each.KEYWORD_ONLY), None)
    if first_named is not None and not any(each.kind is each.VAR_POSITIONAL for each in parameters):
        lines.insert(first_named, "*")
    return "(\n" + "".join(f"    {line},\n" for line in lines) + ")" + text.rpartition(")")[2]
