"""The program of a process that inspects media: it reads requests as JSON lines, and writes an answer to each.

The first line names the root and the class of each modality's reader; each further one, a modality and a path. An
answer is either the record of a file or a fault.
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
    """Answer requests until the input ends. Ctrl-C is left to the parent process, which ends the input."""
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
    """Return the record or fault that a worker answered."""
    return str(answer["fault"]) if "fault" in answer else FileRecord(**answer)


if __name__ == "__main__":
    main()
