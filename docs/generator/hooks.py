"""Hooks of mkdocs: add the generated pages and the sample files, and link to them."""

from __future__ import annotations

import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[1]
EXAMPLES = DOCS.parent / "examples"
if str(DOCS) not in sys.path:
    sys.path.insert(0, str(DOCS))

from mkdocs.structure.files import File, Files  # noqa: E402

from generator import commands, interface, keys, outputs, parts  # noqa: E402

FOLDERS = (commands.FOLDER, parts.FOLDER)
"""Folders of generated pages, which the navigation names by their index."""


@cache
def generated() -> dict[str, str]:
    """Return the generated pages by path."""
    modules = (commands, interface, keys, outputs, parts)
    return {path: text for module in modules for path, text in module.pages().items()}


def on_config(config: Any) -> Any:
    """List all pages of a generated folder in the navigation, where it names the index of the folder."""
    config.nav = _completed(config.nav)
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the generated pages, and the run files of examples/."""
    for path, text in generated().items():
        files.append(File.generated(config, path, content=text))
    for sample in sorted(EXAMPLES.glob("*.toml")):
        files.append(File.generated(config, f"examples/{sample.name}", abs_src_path=str(sample)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Link to the samples where they are on the site: in the repository, they are beside docs/."""
    return re.sub(r"\]\(((?:\.\./)*)\.\./examples/([\w.]+)\)", r"](\1examples/\2)", markdown)


def _completed(nav: Any) -> Any:
    """Return the navigation with the pages of generated folders behind their index."""
    if isinstance(nav, dict):
        return {title: _completed(each) for title, each in nav.items()}
    if isinstance(nav, list):
        return [page for each in nav for page in (_with_folder(each) if isinstance(each, str) else [_completed(each)])]
    return nav


def _with_folder(path: str) -> list[str]:
    """Return a path and, if it is the index of a generated folder, the other pages of that folder."""
    folder = path.removesuffix("/index.md")
    others = [each for each in generated() if each.startswith(f"{folder}/")] if folder in FOLDERS else []
    return [path, *(each for each in others if each != path)]
