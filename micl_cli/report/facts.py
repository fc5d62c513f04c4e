"""Facts about a run as text."""

from __future__ import annotations

from micl_cli.report.data import RunData

DIGEST = 12
"""The number of shown characters of a digest."""


def recipe_text(run: RunData) -> str:
    """Return the recipe of a run, with its digest and citation if known: "fast (sha256 0123; Ada)"."""
    name, digest, citation = (f"{run.recipe.get(key, '')}" for key in ("name", "sha256", "citation"))
    facts = "; ".join(fact for fact in (f"sha256 {digest[:DIGEST]}" if digest else "", citation) if fact)
    return f"{name} ({facts})" if facts else name
