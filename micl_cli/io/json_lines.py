"""JSON lines on stdout."""

from __future__ import annotations

import json
import sys
from typing import Any


def write_json_line(data: Any) -> None:
    """Write one JSON line to stdout and flush it, so that readers receive it immediately."""
    sys.stdout.write(json.dumps(data, allow_nan=False) + "\n")
    sys.stdout.flush()
