"""Hooks of mkdocs: add the generated pages and the sample files, and link to them."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[1]
EXAMPLES = DOCS.parent / "examples"
sys.path.insert(0, str(DOCS))

from mkdocs.structure.files import File, Files  # noqa: E402

from generator import commands, keys, outputs, parts  # noqa: E402

SAMPLES = ("run.toml", "grid.toml", "notebook.ipynb")
"""Files of examples/ that pages link to."""


def on_files(files: Files, config: Any) -> Files:
    """Add the generated pages and the samples."""
    for module in (commands, keys, outputs, parts):
        for path, text in module.pages().items():
            files.append(File.generated(config, path, content=text))
    for name in SAMPLES:
        if (EXAMPLES / name).exists():
            files.append(File.generated(config, f"examples/{name}", abs_src_path=str(EXAMPLES / name)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Link to the samples where they are on the site: in the repository, they are beside docs/."""
    return re.sub(r"\]\(((?:\.\./)*)\.\./examples/([\w.]+)\)", r"](\1examples/\2)", markdown)
