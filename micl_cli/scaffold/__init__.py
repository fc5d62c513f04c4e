"""Templates of plugin packages, and how they are filled in."""

from __future__ import annotations

import keyword
import re
from collections.abc import Collection
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from string import Template

from micl_cli import __version__
from micl_cli.errors import MiclError, UsageError

SCAFFOLDS = {
    "strategy": {"common": ("pyproject.toml",), "strategy": ("README.md", "plugin.py", "part.py", "test_contract.py")},
    "metric": {"common": ("pyproject.toml",), "metric": ("README.md", "plugin.py", "part.py", "test_contract.py")},
    "router": {"common": ("pyproject.toml",), "router": ("README.md", "plugin.py", "part.py", "test_contract.py")},
}
"""Templates by kind: file names by the folder that holds them."""

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", re.IGNORECASE)
_IMPORTED = frozenset(("Annotated", "Any", "Backbone", "Batch", "Example", "Iterator", "Loss", "Metric", "Progress"))
_IMPORTED |= frozenset(("Range", "Route", "Router", "RouterContext", "Score", "Sequence", "Stage", "State", "Strategy"))
_IMPORTED |= frozenset(("Task", "Tensor"))


def create(kind: str, name: str, parent: Path, taken: Collection[str] = ()) -> Path:
    """Write the package ``micl-NAME`` below ``parent`` and return its folder.

    ``taken`` are the names of the kind that are installed. Raises UsageError for a name that
    cannot be one, is taken, or whose folder exists; MiclError where it cannot be written.
    """
    words = _words(kind, name, taken)
    folder = parent.expanduser() / words["distribution"]
    try:
        folder.mkdir(parents=True, exist_ok=False)
        for source, names in SCAFFOLDS[kind].items():
            for file in names:
                _write(folder / _place(file, kind, words["package"]), f"{source}/{file}.txt", words)
        (folder / words["package"] / "__init__.py").write_text(f'"""{words["title"]}."""\n', encoding="utf-8")
    except FileExistsError as error:
        raise UsageError(f"{folder} exists already", "Choose another name, or another --dir.") from error
    except OSError as error:
        raise MiclError(f"{folder} cannot be written: {error.strerror}", "Choose another --dir.") from error
    return folder


def _words(kind: str, name: str, taken: Collection[str]) -> dict[str, str]:
    """Return the values of the templates' placeholders."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be a name", "Letters, digits and single hyphens can, a letter first: my-method"
        )
    lower = name.lower()
    package = f"micl_{lower.replace('-', '_')}"
    if lower in taken:
        raise UsageError(
            f"a {kind} {lower!r} is installed already", "Two of one name would be ambiguous: choose another."
        )
    if find_spec(package):
        raise UsageError(f"a package {package!r} is installed already", "Choose another name.")
    camel = "".join(word[0].upper() + word[1:] for word in name.split("-"))
    collides = keyword.iskeyword(camel) or camel in _IMPORTED
    return {
        "name": lower,
        "kind": kind,
        "title": f"The {kind} {lower} for micl",
        "distribution": f"micl-{lower}",
        "package": package,
        "class": camel + kind.capitalize() if collides else camel,
        "version": __version__,
    }


def _place(file: str, kind: str, package: str) -> str:
    """Return where a template's text belongs in the new package."""
    places = {"plugin.py": f"{package}/plugin.py", "part.py": f"{package}/{kind}.py"}
    return {**places, "test_contract.py": "tests/test_contract.py"}.get(file, file)


def _write(path: Path, template: str, words: dict[str, str]) -> None:
    text = files(__name__).joinpath(template).read_text(encoding="utf-8")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(Template(text).substitute(words), encoding="utf-8")
