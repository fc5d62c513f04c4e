"""Plots as SVG elements of a page: their text and colours follow the page, and their ids are unique in it."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from markupsafe import Markup

from micl_cli.io.characters import escape
from micl_cli.report.plots.style import INK, MUTED, RULE, SERIES, SURFACE, Plot

_COLOURS = {
    INK: "currentColor",
    MUTED: "var(--muted)",
    RULE: "var(--rule)",
    SURFACE: "var(--surface)",
    **{colour: f"var(--series-{number})" for number, colour in enumerate(SERIES, 1)},
}
_COLOUR = re.compile("|".join(_COLOURS))
_REFERENCE = re.compile(r"url\(#([^)]*)\)")
_NAMESPACE = re.compile(r"\{[^}]*\}")
_POINTS_TO_PIXELS = 96 / 72


def inline_svg(plot: Plot, prefix: str) -> Markup:
    """Return a plot as an ``svg`` element with its title as accessible name. ``prefix`` is unique on the page."""
    root = ElementTree.fromstring(plot.image("svg", transparent=True))
    _clean(root)
    used = {_href(element)[1:] for element in root.iter() if _href(element).startswith("#")}
    used |= {name for element in root.iter() for value in element.attrib.values() for name in _REFERENCE.findall(value)}
    for element in root.iter():
        _adapt(element, prefix, used)
    width, height = (float(value) * _POINTS_TO_PIXELS for value in root.attrib["viewBox"].split()[2:])
    root.attrib = {
        "viewBox": root.attrib["viewBox"],
        "width": f"{width:.0f}",
        "height": f"{height:.0f}",
        "style": f"max-width: {width:.0f}px; min-width: min({width:.0f}px, 30rem)",
        "role": "img",
        "aria-label": escape(f"{plot.title}. {plot.reading}"),
    }
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _clean(root: ElementTree.Element) -> None:
    """Remove metadata, styles that would apply to the whole page, and namespaces, which HTML does not need."""
    for parent in list(root.iter()):
        for child in list(parent):
            if _NAMESPACE.sub("", child.tag) in ("metadata", "style"):
                parent.remove(child)
    for element in root.iter():
        element.tag = _NAMESPACE.sub("", element.tag)
        element.attrib = {_NAMESPACE.sub("", name): value for name, value in element.attrib.items()}


def _href(element: ElementTree.Element) -> str:
    return element.attrib.get("href", "")


def _adapt(element: ElementTree.Element, prefix: str, used: set[str]) -> None:
    """Replace the colours of an element, and prefix its id if it is used, or else remove it."""
    values = element.attrib
    if "id" in values:
        name = values.pop("id")
        if name in used:
            values["id"] = f"{prefix}-{name}"
    if _href(element).startswith("#"):
        values["href"] = f"#{prefix}-{_href(element)[1:]}"
    for name, value in values.items():
        if name in ("style", "fill", "stroke"):
            values[name] = _COLOUR.sub(lambda match: _COLOURS[match[0]], value)
        values[name] = _REFERENCE.sub(rf"url(#{prefix}-\1)", values[name])
