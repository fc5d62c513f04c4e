"""Identification of the code of a run: a digest of sources, and the commit of a checkout.

The core up to the training layer and the plugins decide the scores of a plan. The layers above (command line, tuning,
sweeps, sessions), the store and reports decide what is planned, stored and shown; they are not part of the digest.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from hashlib import sha256
from importlib import metadata, util
from pathlib import Path

from micl_cli.io.digest import file_sha256
from micl_cli.registry import Part, Registry

CORE, OWN = "micl_cli", "micl-cli"
CHANGES = "+changes"
"""The suffix of the commit of a checkout with changes that are not committed."""

_DECIDING = frozenset({"modalities", "backbones", "strategies", "routers", "metrics", "encoders", "adapters"})
"""Kinds of plugins that decide scores. Tasks, readers and formats make data, which plans identify by its own digest."""
_NOT_DECIDING = frozenset(
    {"cli", "tune", "sweep", "session", "store", "report", "recipes", "scaffold", "serve", "testing"}
)
"""Folders of the core without influence on the scores of a plan."""

_DIGITS = 12
_LARGE = 1 << 20
"""Larger files (in bytes), such as weights, count by name and size; the digest of the base model covers them."""
_GIT_SECONDS = 2.0


def code_digest(parts: Iterable[Part], registry: Registry) -> str:
    """Return a digest of the sources of the core and of the distributions that provide ``parts``.

    It covers their Python files and other small files, by path within the package, and is the same for a checkout and
    an installed package. Returns an empty text if the sources cannot be read.
    """
    distributions = {OWN, *(part.distribution for part in parts)}
    packages = {CORE}.union(*(_packages(name, registry) for name in distributions))
    digest = sha256()
    try:
        for package in sorted(packages):
            for name, content in _files(package):
                digest.update(f"{name} {content}\n".encode(errors="surrogateescape"))
    except (OSError, ValueError, ImportError):
        return ""
    return digest.hexdigest()[:_DIGITS]


def _packages(distribution: str, registry: Registry) -> set[str]:
    """Return the top-level modules of a distribution that may decide scores."""
    parts = [part for part in registry.parts() if part.distribution == distribution]
    deciding = {top_level(part) for part in parts if part.kind in _DECIDING}
    return deciding | (_installed(distribution) - {top_level(part) for part in parts})


def top_level(part: Part) -> str:
    """Return the name of the top-level module that contains the class of a part."""
    return part.target.partition(":")[0].partition(".")[0]


def _installed(distribution: str) -> set[str]:
    """Return the top-level modules that an installer wrote: none for a checkout, which is only linked."""
    try:
        files = metadata.files(distribution) or []
    except metadata.PackageNotFoundError:
        return set()
    names = {Path(file.parts[0]).stem for file in files if file.suffix == ".py"}
    return {name for name in names if name.isidentifier() and not name.startswith("_")} - {CORE}


def _files(package: str) -> Iterator[tuple[str, str]]:
    """Yield the name and the content, as a digest or size, of the files of a top-level module, sorted by name."""
    spec = util.find_spec(package)
    for root in sorted(spec.submodule_search_locations or ()) if spec else ():
        for path in sorted(_sources(Path(root), package)):
            size = path.stat().st_size
            name = path.relative_to(root).as_posix()
            yield f"{package}/{name}", f"{size}" if size > _LARGE else file_sha256(path)
    if spec and not spec.submodule_search_locations and spec.origin and Path(spec.origin).is_file():
        yield package, file_sha256(Path(spec.origin))


def _sources(root: Path, package: str) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):
        skipped = _NOT_DECIDING if package == CORE and Path(folder) == root else frozenset()
        folders[:] = [each for each in folders if each != "__pycache__" and each[0] != "." and each not in skipped]
        for name in names:
            path = Path(folder, name)
            if name[0] != "." and path.suffix not in (".pyc", ".pyo") and path.is_file():
                yield path


def commit() -> str:
    """Return the commit of the checkout that micl is imported from, with CHANGES if files differ from it.

    Returns an empty text outside a checkout, and without a working git.
    """
    folder = Path(sys.modules[CORE].__file__ or "").absolute().parent
    # An environment may lie within the checkout of another project, which does not track its files.
    if _git(folder, "ls-files", "--error-unmatch", "__init__.py") is None:
        return ""
    head, changes = _git(folder, "rev-parse", "HEAD"), _git(folder, "status", "--porcelain", "--untracked-files=no")
    # Of the files that git does not track, only those in the package are code; others may be reports.
    added = _git(folder, "ls-files", "--others", "--exclude-standard")
    return "" if head is None or changes is None else head[:_DIGITS] + (CHANGES if changes or added else "")


def _git(folder: Path, *words: str) -> str | None:
    """Return the output of a git command in ``folder``, or None if it fails or takes long."""
    # Variables such as GIT_DIR, which hooks set, would lead to another repository.
    variables = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", "-c", "core.fsmonitor=false", *words],
            cwd=folder,
            env={**variables, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"},
            capture_output=True,
            timeout=_GIT_SECONDS,
            check=False,
        )
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return done.stdout.decode(errors="replace").strip() if done.returncode == 0 else None
