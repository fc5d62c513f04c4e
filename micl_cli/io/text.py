"""Guarded reading of text files: regular files only, with limits on size, line length and nesting.

A named pipe would block, a device never ends, and deeply nested TOML or JSON takes memory out of all proportion to its
size. Failures are OSError (the file cannot be read) or TextError (its content is not acceptable).
"""

from __future__ import annotations

import codecs
import errno
import json
import os
import re
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

MAX_BYTES = 1 << 20
"""The default size limit of a file that is read as a whole."""
MAX_LINE_BYTES = 4 << 20
"""The size limit of one line of a file that is read line by line."""
MAX_FILE_BYTES = 2 << 30
"""The size limit of a file that is read line by line, and of files that micl wrote itself."""
MAX_TOML_NESTING = 16
"""The limit of nested brackets, and of the parts of a dotted key."""
MAX_JSON_NESTING = 100

_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)
_MARKS = ((b"\xff\xfe\0\0", "UTF-32"), (b"\0\0\xfe\xff", "UTF-32"), (b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16"))
_HEAD_BYTES = 256
# Unterminated strings extend to the end of the line or text, so that the search stays linear.
_TOML_STRINGS = re.compile(
    r'"""[^"\\]*(?:(?:\\.|"(?!""))[^"\\]*)*(?:"{3,5})?'
    r"|'''.*?(?:'{3,5}|\Z)"
    r'|"[^"\\\n]*(?:\\[^\n][^"\\\n]*)*"?'
    r"|'[^'\n]*'?"
    r"|(?P<comment>\#[^\n]*)",
    re.DOTALL,
)
_JSON_STRINGS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
_TOML_INTEGERS = range(-(2**63), 2**63)


class TextError(ValueError):
    """The content of a text file is not acceptable: its size, encoding, nesting or syntax.

    ``line`` is the number of the line, in a file that is read line by line.
    """

    def __init__(self, message: str, line: int = 0) -> None:
        super().__init__(message)
        self.line = line


# Files


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading. Raises OSError if it cannot be opened, or is a pipe, device, socket or folder."""
    descriptor = os.open(path, _FLAGS)
    try:
        check_regular(descriptor, path)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def check_regular(descriptor: int, path: Path) -> None:
    """Raise OSError if an open descriptor is that of a pipe, device, socket or folder."""
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))


def read_bytes(path: Path, limit: int = MAX_BYTES) -> bytes:
    """Return the content of a regular file of at most ``limit`` bytes. Raises OSError, TextError."""
    with open_regular(path) as file:
        check_size(os.fstat(file.fileno()).st_size, limit)
        data = file.read(limit + 1)
    check_size(len(data), limit)
    return data


def read_text(path: Path, limit: int = MAX_BYTES) -> str:
    """Return the text of a UTF-8 file without its byte order mark, and with ``\\n`` line ends.

    Raises OSError, or TextError if it is larger than ``limit`` bytes or in another encoding.
    """
    return decode(read_bytes(path, limit)).replace("\r\n", "\n").replace("\r", "\n")


def read_head(path: Path, size: int) -> str:
    """Return the beginning of a UTF-8 file, of at most ``size`` bytes, without a character that the limit cuts.

    Raises OSError, or TextError if it is in another encoding.
    """
    with open_regular(path) as file:
        data = file.read(size)
    refuse_other_encoding(data)
    try:
        return codecs.getincrementaldecoder("utf-8-sig")().decode(data, final=len(data) < size)
    except UnicodeDecodeError as error:
        raise _not_utf8(error) from error


def read_lines(
    path: Path, max_line: int = MAX_LINE_BYTES, limit: int = MAX_FILE_BYTES, *, blank: bool = False
) -> Iterator[tuple[int, str]]:
    """Yield the number and text of each line of a UTF-8 file. Only ``\\n`` ends a line.

    Blank lines are left out, unless ``blank`` is set.

    Raises OSError, or TextError if the file has more than ``limit`` bytes, or a line is longer than ``max_line`` bytes
    or in another encoding.
    """
    with open_regular(path) as file:
        check_size(os.fstat(file.fileno()).st_size, limit)
        number = total = 0
        while data := file.readline(max_line + 1):
            number, total = number + 1, total + len(data)
            check_size(total, limit)
            text = _decoded_line(data, max_line, number)
            if blank or text.strip():
                yield number, text


def _decoded_line(data: bytes, limit: int, number: int) -> str:
    try:
        check_size(len(data), limit)
        return decode(data).rstrip("\r\n")
    except TextError as error:
        raise TextError(str(error), number) from error


def decode(data: bytes) -> str:
    """Return UTF-8 text without its byte order mark. Raises TextError that names the encoding, if it is another."""
    refuse_other_encoding(data)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _not_utf8(error) from error


def _not_utf8(error: UnicodeDecodeError) -> TextError:
    return TextError(f"it is not UTF-8 ({error.reason} at byte {error.start}): save it as UTF-8")


def refuse_other_encoding(data: bytes) -> None:
    """Raise TextError, which names the encoding, if the beginning of a text shows that it is not UTF-8."""
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "")
    if not encoding and b"\0" in data[:_HEAD_BYTES]:
        encoding = "UTF-16 without a byte order mark, or binary"
    if encoding:
        raise TextError(f"it is {encoding}, not UTF-8: save it as UTF-8")


def check_size(size: int, limit: int) -> None:
    """Raise TextError if ``size`` in bytes is larger than ``limit``."""
    if size > limit:
        raise TextError(f"it is larger than {_size(limit)}")


def _size(count: int) -> str:
    for unit, power in (("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if count >= 1 << power:
            return f"{count >> power} {unit}"
    return f"{count} bytes"


# TOML


def read_toml(path: Path, limit: int = MAX_BYTES) -> dict[str, Any]:
    """Return the content of a TOML file. Raises OSError, TextError."""
    return parse_toml(read_text(path, limit))


def parse_toml(text: str) -> dict[str, Any]:
    """Return the content of a TOML text. Raises TextError if it is not TOML, or nested too deeply."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    _check_toml_nesting(text)
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise TextError(str(error)) from error
    _check_integers(table)
    return table


def _check_toml_nesting(text: str) -> None:
    """Raise TextError for a key with many parts or brackets nested deeply: the parser's cost is their square."""
    bare = _TOML_STRINGS.sub(lambda match: "" if match["comment"] else "s", text)
    parts = re.sub(r"[^\s.=,\[\]{}]+", "k", re.sub(r"[ \t]", "", bare))
    if _is_deeper(bare, MAX_TOML_NESTING) or "k." * MAX_TOML_NESTING in parts:
        raise TextError(f"a key or value has more than {MAX_TOML_NESTING} levels")


def _check_integers(value: Any) -> None:
    """Raise TextError for an integer of more than 64 bits, which TOML does not have and Python may refuse to print."""
    if isinstance(value, int) and value not in _TOML_INTEGERS:
        raise TextError("a number does not fit into 64 bits")
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _check_integers(inner)


# JSON


def read_json(path: Path, limit: int = MAX_BYTES) -> Any:
    """Return the content of a JSON file, without NaN and infinities. Raises OSError, TextError."""
    return parse_json(read_text(path, limit))


def parse_json(text: str, **options: Any) -> Any:
    """Return the content of a JSON text, without NaN and infinities; ``options`` are those of :func:`json.loads`.

    Raises TextError if it is not JSON, or nested too deeply.
    """
    # Brackets are only counted without strings if there are many: most texts are short lines of a manifest.
    many = text.count("[") + text.count("{") > MAX_JSON_NESTING
    if many and _is_deeper(_JSON_STRINGS.sub("", text), MAX_JSON_NESTING):
        raise TextError(f"a value has more than {MAX_JSON_NESTING} levels")
    try:
        return json.loads(text, **{"parse_constant": _refuse_constant, **options})
    except (ValueError, RecursionError) as error:
        raise TextError(str(error)) from error


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a JSON number")


def _is_deeper(text: str, limit: int) -> bool:
    """Return whether more than ``limit`` brackets are inside each other in a text without strings."""
    depth = 0
    for match in re.finditer(r"[\[\]{}]", text):
        depth += 1 if match[0] in "[{" else -1
        if depth > limit:
            return True
    return False
