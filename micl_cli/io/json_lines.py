"""JSON lines on stdout."""

from __future__ import annotations

import sys
from typing import Any

from micl_cli.io.json_text import json_text


def write_json_line(data: Any) -> None:
    """Write one JSON line to stdout and flush it, so that readers receive it immediately.

    Numbers that are not finite are null.
    """
    sys.stdout.write(json_text(data) + "\n")
    sys.stdout.flush()
