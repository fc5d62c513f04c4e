"""JSON text in which numbers that are not finite are null, since JSON has no NaN and no infinity."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any


def json_text(data: Any, **options: Any) -> str:
    """Return ``data`` as JSON, with null for each number that is not finite. ``options`` are those of json.dumps."""
    return json.dumps(finite(data), allow_nan=False, **options)


def finite(data: Any) -> Any:
    """Return JSON-ready data with None for each number that is not finite; tuples become lists."""
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    if isinstance(data, Mapping):
        return {key: finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [finite(value) for value in data]
    return data
