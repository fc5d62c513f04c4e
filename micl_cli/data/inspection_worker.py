"""The program of an inspection worker: reads requests as JSON lines, and writes a response to each.

The first line holds the root and the media reader class of each modality; each further line, a modality and a path. A
response is the record of a file, or a fault.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Mapping
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

from micl_cli.api.modality import Modality
from micl_cli.data.media_files import inspect_medium
from micl_cli.data.record import FileRecord
from micl_cli.io.json_text import json_text


def main() -> None:
    """Respond to requests until the input ends. Ctrl-C is handled by the parent process, which closes it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    setup = json.loads(sys.stdin.readline())
    readers = {name: _reader(target) for name, target in setup["readers"].items()}
    for line in sys.stdin:
        modality, path = json.loads(line)
        result = inspect_medium(Path(setup["root"]), path, readers[modality])
        answer = {"fault": result} if isinstance(result, str) else asdict(result)
        sys.stdout.write(json_text(answer) + "\n")
        sys.stdout.flush()


def _reader(target: str) -> Modality:
    module, _, name = target.partition(":")
    reader: Modality = getattr(import_module(module), name)()
    return reader


def result_of(answer: Mapping[str, Any]) -> FileRecord | str:
    """Return the record or fault in a worker's response."""
    return str(answer["fault"]) if "fault" in answer else FileRecord(**answer)


if __name__ == "__main__":
    main()
