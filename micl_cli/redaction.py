"""Hiding of secrets in text: passwords in URLs and connection strings, and tokens in the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from urllib.parse import unquote_plus

MASK = "***"

Span = tuple[int, int]

_SCHEME = re.compile(r"\s*(?P<scheme>[A-Za-z][\w+.-]*)://")
_IN_TEXT = re.compile(r"[A-Za-z][\w+.-]*://\S+")
_HOSTS = re.compile(r"(\[[^\]]*\]|[\w.*-]*)(:\d*)?(,(\[[^\]]*\]|[\w.*-]*)(:\d*)?)*['\"),.;:]*")
"""One or more hosts with their ports, and the punctuation that may follow a URL in a sentence."""
_COLON = re.compile(":|%3A|\uff1a", re.IGNORECASE)
"""What separates a password from the user, or was meant to."""
_QUERY_KEY = re.compile(r"(?:^|[?&;#])\s*(?P<key>[^=&?;#/@:\s]+?)(?:=|%3D)", re.IGNORECASE)
_HARMLESS = frozenset(
    [
        "application_name",
        "cache",
        "charset",
        "check_same_thread",
        "client_encoding",
        "connect_timeout",
        "database",
        "dbname",
        "driver",
        "encrypt",
        "host",
        "hostaddr",
        "immutable",
        "isolation_level",
        "mode",
        "nolock",
        "port",
        "ssl",
        "ssl_mode",
        "sslcert",
        "sslmode",
        "sslrootcert",
        "target_session_attrs",
        "timeout",
        "trustservercertificate",
        "uri",
        "user",
        "username",
        "vfs",
    ]
)
"""Keys of a URL's query whose values are shown."""
_WORDS = r"pass(?:word|wd|phrase)?|pwd|secret|token|credentials?|(?:api|access|private)_?key|sslpassword|authorization"
_SECRET_NAME = re.compile(rf"(?:.*[^a-z])?(?:{_WORDS}|key)(?:[^a-z].*)?", re.IGNORECASE | re.DOTALL)
_ASSIGNMENT = re.compile(rf"(?i)\b(?:\w+_)?(?:{_WORDS})\s*=\s*(?P<value>'[^']*'|\"[^\"]*\"|\{{[^}}]*\}}|[^\s&;,'\"]+)")
_NAMED_SECRET = re.compile(
    r"(?i)\b(?:pass(?:word|wd|phrase)|pwd|secret|api_?key|authorization)['\"]?\s*:\s*(?:basic\s+|bearer\s+)?"
    r"(?P<value>'[^']*'|\"[^\"]*\"|[^\s&;,'\"]+)"
)
_TOKEN = re.compile(r"\b(?i:bearer)\s+(?P<value>[\w.~+/=-]{8,})|\b(?P<hub>hf_[A-Za-z0-9]{20,})")
"""Tokens that are known by what precedes them, or by their form."""
_SECRET_VARIABLE = re.compile(
    r"(?:HF_TOKEN|HUGGING_FACE_HUB_TOKEN|.*_(?:TOKEN|PASSWORD|PASSWD|SECRET|API_KEY|ACCESS_KEY))"
)
_SHORTEST = 4
"""The length from which a remembered secret is hidden wherever it occurs; shorter ones would garble the text."""

_remembered: set[str] = set()


def redact(text: str) -> str:
    """Return a message with the secrets hidden in every URL and connection string, and every remembered secret."""
    text = _IN_TEXT.sub(lambda match: redact_url(match[0]), text)
    for pattern in (_ASSIGNMENT, _NAMED_SECRET):
        text = _mask(text, [match.span("value") for match in pattern.finditer(text)])
    text = _mask(text, [match.span(match.lastgroup or 0) for match in _TOKEN.finditer(text)])
    for secret in sorted(_remembered | set(_environment_secrets(os.environ)), key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text


def redact_words(words: Sequence[str]) -> str:
    """Return a command line with its secrets hidden, also one that is the word after its name ("-b api_key SECRET")."""
    before = ["", *(word.lstrip("-") for word in words)]
    hidden = [MASK if is_secret_name(name) else word for name, word in zip(before, words, strict=False)]
    return redact(" ".join(hidden))


def redact_url(text: str) -> str:
    """Return a URL with its password and the values of its query hidden, except those known to be harmless.

    ``text`` may be malformed or have unescaped characters in its password. Where it is ambiguous, more is hidden.
    """
    return _mask(text, _spans(text))


def remember_secrets(url: str) -> None:
    """Hide the secrets of a URL from now on wherever ``redact`` meets them, as in the messages of a driver."""
    values = {text for start, end in _spans(url) for text in _spellings(url[start:end])}
    _remembered.update(value for value in values if len(value) >= _SHORTEST)


def is_secret_name(name: str) -> bool:
    """Return whether a setting with this name holds a secret ("api_key", "password")."""
    return bool(_SECRET_NAME.fullmatch(name))


def _environment_secrets(variables: Mapping[str, str]) -> Iterator[str]:
    for name, value in variables.items():
        if len(value) >= 2 * _SHORTEST and _SECRET_VARIABLE.fullmatch(name.upper()):
            yield value


def _spellings(secret: str) -> set[str]:
    """Return a secret as it is written, decoded, and without what a parser may take for another part of the URL."""
    both = {secret, unquote_plus(secret)}
    return both | {part for text in both for part in re.split(r"[@/?#:&;=]", text)}


def _spans(text: str) -> list[Span]:
    """Return the secret spans of a URL."""
    match = _SCHEME.match(text)
    start = match.end() if match else 0
    scheme = match["scheme"].lower() if match else ""
    assigned = [found.span("value") for found in _ASSIGNMENT.finditer(text)]  # a connection string of another driver
    return [*_user_info(scheme, text, start), *_query_values(text, start), *assigned]


def _user_info(scheme: str, text: str, start: int) -> Iterator[Span]:
    if scheme.startswith(("sqlite", "file")) and re.match("/+[^/:]", text[start:]):
        return  # the path of a file, in which @ and : mean nothing
    authority_end = min((i for i in (text.find(c, start) for c in "/?#") if i >= 0), default=len(text))
    hosts_only = bool(_HOSTS.fullmatch(text, start, authority_end))
    web = scheme in ("http", "https", "ws", "wss", "ftp")
    at = text.rfind("@", start, authority_end) if web else text.rfind("@", start)
    if web and at < 0 and not hosts_only:
        at = text.rfind("@", start)
    if at < 0:
        yield from _text_in_place_of_a_port(text, start, hosts_only or not scheme)
        return
    if colon := _COLON.search(text, start, at):
        yield colon.end(), at
    elif web:
        yield start, at  # a token is often given as the user


def _text_in_place_of_a_port(text: str, start: int, absent: bool) -> Iterator[Span]:
    """Yield what follows the host of a URL that lost its host, "scheme://user:password"."""
    if not absent and (colon := text.find(":", start)) >= 0:
        yield colon + 1, len(text)


def _query_values(text: str, start: int) -> Iterator[Span]:
    keys = list(_QUERY_KEY.finditer(text, start))
    for number, match in enumerate(keys):
        if unquote_plus(match["key"]).strip().lower() not in _HARMLESS:
            yield match.end(), keys[number + 1].start() if number + 1 < len(keys) else len(text)


def _mask(text: str, spans: Iterable[Span]) -> str:
    """Return ``text`` with MASK in place of each span; overlapping spans are merged."""
    shown, position = "", 0
    for start, end in sorted(spans):
        if start >= end or end <= position:
            continue
        if start > position or not position:
            shown += text[position:start] + MASK
        position = end
    return shown + text[position:]
