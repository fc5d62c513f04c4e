"""Write docs/plugins.md and the JSON schemas of micl_cli/schemas from the code. The page has every hook, base class and
name that a plugin may import, and the deviations of the methods that come with micl from their papers.

Usage: python docs/generate.py [--check]

With --check nothing is written; the exit code is 1 where a file is not what the code says.
"""

from __future__ import annotations

import argparse
import inspect
import json
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from micl_cli import api
from micl_cli.api.deviations import deviations_of
from micl_cli.api.hookspecs import Hooks
from micl_cli.cli.main import micl
from micl_cli.cli.schema import FILES, schema_of
from micl_cli.registry import KINDS, Registry

PAGE = Path(__file__).parent / "plugins.md"
SCHEMAS = Path(__file__).parents[1] / "micl_cli" / "schemas"
INTRODUCTION = """# Writing plugins

<!-- Generated from the code by `python docs/generate.py`. Do not edit. -->

A plugin is an installed distribution with an entry point in the group `micl`. The entry point names a module that
announces parts; the class of a part is imported when somebody asks for it. Plugins import `micl_cli.api` and nothing
else of micl. `micl plugins new strategy NAME` writes a package to start from.

    # pyproject.toml
    [project.entry-points.micl]
    micl-mine = "micl_mine.plugin"

    # micl_mine/plugin.py
    from micl_cli.api import hookimpl

    @hookimpl
    def micl_register_strategies(register):
        register("mine", "micl_mine.strategy:Mine", "one line about it")

Options are keyword-only constructor parameters: `alpha: Annotated[float, "share of new weights", Range(0, 1)] = 0.5`.
The command line, `micl.toml`, recipes, `--dry-run` and `micl plugins show` take type, range, default and help from it.
`Search(0.1, 0.9)` beside `Range` declares the space in which `micl tune` searches for the value of the option.

`micl_cli.testing` has contract tests for most kinds: subclass one, name your class, run pytest.
"""


def page() -> str:
    """Return the text of docs/plugins.md. Raises ValueError where something has no docstring."""
    parts = ["## Hooks\n", *_hooks(), "## Base classes\n", *_bases(), "## Other names\n", *_names()]
    parts += ["## Methods that come with micl, and their deviations\n", *_methods()]
    text = "\n".join([INTRODUCTION, *parts])
    return re.sub(r":\w+:`([^`]+)`", r"`\1`", text).replace("``", "`")


def _hooks() -> Iterator[str]:
    for name, hook in sorted(vars(Hooks).items()):
        if name.startswith("micl_"):
            yield f"### `{name}{_signature(hook)}`\n\n{_doc(hook, name)}\n"


def _bases() -> Iterator[str]:
    for plural, (singular, target) in KINDS.items():
        cls = _load(target)
        yield f"### {singular}: `{cls.__name__}`\n"
        yield f"Announced by `micl_register_{plural}`.\n\n{_doc(cls, cls.__name__)}\n"
        yield from _members(cls)


def _members(cls: type[Any]) -> Iterator[str]:
    """Yield the public methods and properties of a class, those that it inherits from other classes of the API too."""
    for name in dict.fromkeys(name for base in cls.__mro__ if _ours(base) for name in vars(base)):
        member = inspect.getattr_static(cls, name)
        function = getattr(member, "fget", None) or getattr(member, "__func__", member)
        if name.startswith("_") or not inspect.isroutine(function):
            continue
        marks = "abstract, " if getattr(member, "__isabstractmethod__", False) else ""
        marks += "property, " if isinstance(member, property) else ""
        marks += "class method, " if isinstance(member, classmethod) else ""
        shown = name if isinstance(member, property) else f"{name}{_signature(function)}"
        text = _doc(getattr(cls, name) if isinstance(member, property) else function, f"{cls.__name__}.{name}")
        yield f"- `{shown}`{f' ({marks[:-2]})' if marks else ''}: {_indented(text)}"
    yield ""


def _names() -> Iterator[str]:
    bases = {_load(target) for _, target in KINDS.values()}
    for name in api.__all__:
        found = getattr(api, name)
        if found in bases:
            continue
        text = inspect.getdoc(found) if isinstance(found, type) or inspect.isroutine(found) else _comment(name)
        if not text:
            raise ValueError(f"micl_cli.api.{name} is not documented")
        yield f"- `{name}`: {_indented(text.partition(chr(10) * 2)[0])}"
    yield ""


def _methods() -> Iterator[str]:
    """Yield the deviations of the strategies and routers of this distribution from their papers."""
    registry = Registry.discover()
    for kind in ("strategies", "routers"):
        for part in registry.parts(kind):
            if part.distribution == "micl-cli":
                text = deviations_of(registry.load(kind, part.name))
                if not text:
                    raise ValueError(f"the module of {KINDS[kind][0]} {part.name} does not state its deviations")
                yield f"- {KINDS[kind][0]} `{part.name}`: {' '.join(text.split())}"
    yield ""


def _comment(name: str) -> str:
    """Return the text below the assignment of a constant or alias."""
    source = Path(str(import_module(api._HOME[name]).__file__)).read_text(encoding="utf-8").splitlines()
    at = next((i for i, line in enumerate(source) if line.startswith((f"{name} =", f"{name}: "))), None)
    if at is None:
        at = next((i for i, line in enumerate(source) if line.partition(" = ")[0].split(", ").count(name)), len(source))
    below = source[at + 1 :]
    if below and below[0].startswith('"""'):
        return below[0].strip('"')
    return {"hookimpl": "Marks a function of the announcing module as the implementation of a hook."}.get(name, "")


def _load(target: str) -> type[Any]:
    module, _, name = target.partition(":")
    found: type[Any] = getattr(import_module(module), name)
    return found


def _ours(cls: type[Any]) -> bool:
    return cls.__module__.startswith("micl_cli.api")


def _doc(thing: Any, name: str) -> str:
    text = inspect.getdoc(thing)
    if not text:
        raise ValueError(f"{name} is not documented")
    return text


def _signature(function: Any) -> str:
    parameters = [p for p in inspect.signature(function).parameters.values() if p.name not in ("self", "cls")]
    return str(inspect.Signature(parameters)).replace("'", "")


def _indented(text: str) -> str:
    return "\n  ".join(text.splitlines())


def schemas() -> dict[Path, str]:
    """Return the JSON schemas of files, by path, with the plugins of this distribution."""
    registry = Registry.discover()
    return {
        SCHEMAS / f"{file}.schema.json": json.dumps(schema_of(file, micl, registry, "micl-cli"), indent=1) + "\n"
        for file in FILES
    }


def main() -> int:
    """Write the files, or compare them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    check = parser.parse_args().check
    texts = {PAGE: page(), **schemas()}
    changed = [path for path, text in texts.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in () if check else changed:
        path.write_text(texts[path], encoding="utf-8")
    for path in changed if check else ():
        print(f"{path.name} is not what the code says: run python docs/generate.py", file=sys.stderr)
    return 1 if check and changed else 0


if __name__ == "__main__":
    sys.exit(main())
