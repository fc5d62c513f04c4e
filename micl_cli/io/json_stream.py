"""Reading of large JSON files item by item, in constant memory."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from micl_cli.io.text import MAX_FILE_BYTES, MAX_LINE_BYTES, TextError, check_size, open_regular, refuse_other_encoding

_CHUNK = 1 << 18
_TAIL = 16  # characters: an error nearer to the end of the buffer may come from a value that is not complete yet
_NUMBER = ".eE+-0123456789"
_NOT_SPACE = re.compile(r"[^ \t\r\n]")


def read_json_items(path: Path, key: str = "", *, max_item: int = MAX_LINE_BYTES) -> Iterator[tuple[int, Any]]:
    """Yield the line and value of each item of a JSON list.

    The list is the document itself, or with ``key`` the value of that key of the document, an object. Raises OSError;
    TextError, with the line, if the file is not JSON in UTF-8, has no such list, or an item is larger than ``max_item``
    characters or nested too deeply.
    """
    with open_regular(path) as file:
        text = _Text(file, max_item)
        if key:
            _find_key(text, key)
        text.expect("[", f"the value of {key!r} is not a list" if key else "it is not a list")
        yield from _items(text)
        if not key:
            text.expect_end()


class _Text:
    """The text of a file; ``buffer`` from ``position`` on is read, but not yet consumed."""

    def __init__(self, file: BinaryIO, max_item: int) -> None:
        self.file, self.max_item = file, max_item
        self.buffer, self.position, self.line = "", 0, 1
        self.total, self.ended = 0, False
        self.decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self.json = json.JSONDecoder(parse_constant=_refuse_constant)

    def fail(self, reason: str) -> NoReturn:
        raise TextError(reason, self.line)

    def more(self) -> bool:
        """Read a chunk of at least the length of the remaining buffer, so that repeated decoding stays linear."""
        if self.ended:
            return False
        rest = self.buffer[self.position :]
        data = self.file.read(max(_CHUNK, len(rest)))
        if not self.total:
            refuse_other_encoding(data)
        self.total += len(data)
        check_size(self.total, MAX_FILE_BYTES)
        self.ended = not data
        try:
            self.buffer, self.position = rest + self.decoder.decode(data, final=self.ended), 0
        except UnicodeDecodeError as error:
            raise TextError(f"it is not UTF-8 ({error.reason}): save it as UTF-8", self.line) from error
        return True

    def move(self, position: int) -> None:
        """Skip the text before ``position`` of the buffer."""
        self.line += self.buffer.count("\n", self.position, position)
        self.position = position

    def peek(self) -> str:
        """Return the next character that is not white space, or an empty string at the end."""
        while True:
            found = _NOT_SPACE.search(self.buffer, self.position)
            self.move(found.start() if found else len(self.buffer))
            if found or not self.more():
                return found[0] if found else ""

    def expect(self, character: str, reason: str) -> None:
        """Skip ``character``. Raises TextError with ``reason`` if something else follows."""
        if self.peek() != character:
            self.fail(reason)
        self.move(self.position + 1)

    def expect_end(self) -> None:
        if self.peek():
            self.fail("text follows after the end of the list")

    def value(self) -> Any:
        """Return the next value, and skip it. Raises TextError."""
        self.peek()
        while True:
            try:
                value, end = self.json.raw_decode(self.buffer, self.position)
                if self.ended or self.buffer[end : end + 1] not in _NUMBER:  # an empty slice is in every text
                    self.move(end)
                    return value
            except json.JSONDecodeError as error:
                if self.ended or (error.pos < len(self.buffer) - _TAIL and "Unterminated" not in error.msg):
                    self.line += self.buffer.count("\n", self.position, error.pos)
                    self.fail(f"not JSON: {error.msg}")
            except RecursionError:
                self.fail("a value is nested too deeply")
            except ValueError as error:
                self.fail(f"not JSON: {error}")
            if len(self.buffer) - self.position > self.max_item:
                self.fail(f"an item is longer than {self.max_item} characters")
            self.more()


def _items(text: _Text) -> Iterator[tuple[int, Any]]:
    if text.peek() == "]":
        text.move(text.position + 1)
        return
    while True:
        text.peek()
        line = text.line
        yield line, text.value()
        if text.peek() == "]":
            text.move(text.position + 1)
            return
        text.expect(",", "not JSON: a comma is missing between two items")


def _find_key(text: _Text, key: str) -> None:
    """Move to the value of ``key``. Raises TextError if the document is no object or has no such key."""
    text.expect("{", f"it is not an object with the key {key!r}")
    limit, text.max_item = text.max_item, MAX_FILE_BYTES
    while text.peek() != "}":
        name = text.value()
        if not isinstance(name, str):
            text.fail("not JSON: a key is not a string")
        text.expect(":", "not JSON: a colon is missing after a key")
        if name == key:
            text.max_item = limit
            return
        text.value()
        if text.peek() == ",":
            text.move(text.position + 1)
        elif text.peek() != "}":
            text.fail("not JSON: a comma is missing between two keys")
    text.fail(f"it has no key {key!r}")


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a JSON number")
