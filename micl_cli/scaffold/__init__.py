"""Templates of plugin packages, and the creation of packages from them."""

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
"""Template files by plugin kind, grouped by the folder that contains them."""

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", re.IGNORECASE)
_IMPORTED = frozenset(("Annotated", "Any", "Backbone", "Batch", "Example", "Iterator", "Loss", "Metric", "Progress"))
_IMPORTED |= frozenset(("Range", "Route", "Router", "RouterContext", "Score", "Sequence", "Stage", "State", "Strategy"))
_IMPORTED |= frozenset(("Task", "Tensor"))


def create(kind: str, name: str, parent: Path, taken: Collection[str] = ()) -> Path:
    """Create the package ``micl-NAME`` in ``parent`` and return its folder.

    ``taken`` holds the names of installed plugins of this kind. Raises UsageError for a name that is
    invalid or taken, or whose folder exists, and MiclError if the folder cannot be written.
    """
    values = _placeholders(kind, name, taken)
    folder = parent.expanduser() / values["distribution"]
    try:
        folder.mkdir(parents=True, exist_ok=False)
        for source, names in SCAFFOLDS[kind].items():
            for file in names:
                _write(folder / _target_path(file, kind, values["package"]), f"{source}/{file}.txt", values)
        (folder / values["package"] / "__init__.py").write_text(f'"""{values["title"]}."""\n', encoding="utf-8")
    except FileExistsError as error:
        raise UsageError(f"{folder} already exists", "Choose another name, or another --dir.") from error
    except OSError as error:
        raise MiclError(f"{folder} cannot be written: {error.strerror}", "Choose another --dir.") from error
    return folder


def _placeholders(kind: str, name: str, taken: Collection[str]) -> dict[str, str]:
    """Return the values of the templates' placeholders."""
    if not _NAME.fullmatch(name):
        hint = "Use letters, digits and single hyphens, starting with a letter: my-method"
        raise UsageError(f"{name!r} is not a valid name", hint)
    lower = name.lower()
    package = f"micl_{lower.replace('-', '_')}"
    if lower in taken:
        hint = "Choose another name: two plugins with the same name would be ambiguous."
        raise UsageError(f"a {kind} {lower!r} is already installed", hint)
    if find_spec(package):
        raise UsageError(f"a package {package!r} is already installed", "Choose another name.")
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


def _target_path(file: str, kind: str, package: str) -> str:
    """Return the path of a template's file in the new package."""
    paths = {"plugin.py": f"{package}/plugin.py", "part.py": f"{package}/{kind}.py"}
    return {**paths, "test_contract.py": "tests/test_contract.py"}.get(file, file)


def _write(path: Path, template: str, values: dict[str, str]) -> None:
    text = files(__name__).joinpath(template).read_text(encoding="utf-8")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(Template(text).substitute(values), encoding="utf-8")
