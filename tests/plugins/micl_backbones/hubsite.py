"""A small model hub on this machine: what a checkpoint's files are, where they are, and the files, by ranges."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha1, sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

COMMIT = "a" * 40
LARGE = (".safetensors", ".bin")
SomeHub = TypeVar("SomeHub", bound=Any)


class Asked(NamedTuple):
    """A request for a large file's bytes."""

    file: str
    range: str | None
    token: str | None


@dataclass
class Hub:
    """What the hub has: folders by id. ``gated`` ids need a token; ``most`` is where an answer's bytes break off.

    ``wrong`` names files of which other bytes come than are stated. ``commit`` is the newest one.
    """

    folders: dict[str, Path]
    gated: set[str] = field(default_factory=set)
    wrong: set[str] = field(default_factory=set)
    most: int = 1 << 40
    address: str = ""
    commit: str = COMMIT
    asked: list[Asked] = field(default_factory=list)

    def info(self, name: str) -> dict[str, Any]:
        """What the hub states of a checkpoint."""
        files = sorted(path for path in self.folders[name].rglob("*") if path.is_file())
        siblings = [stated(path, path.relative_to(self.folders[name]).as_posix()) for path in files]
        return {"id": name, "sha": self.commit, "siblings": siblings}


def stated(path: Path, name: str) -> dict[str, Any]:
    """What the hub states of a file."""
    content = path.read_bytes()
    blob = sha1(b"blob %d\0" % len(content) + content).hexdigest()
    large = {"sha256": sha256(content).hexdigest(), "size": len(content), "pointerSize": 100}
    lfs = {"lfs": large} if name.endswith(LARGE) else {}
    return {"rfilename": name, "size": len(content), "blobId": blob, **lfs}


class _Site(BaseHTTPRequestHandler):
    def __init__(self, hub: Hub, *args: Any) -> None:
        self.hub = hub
        super().__init__(*args)

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        path = urlsplit(self.path).path
        if found := re.fullmatch(r"/api/models/(.+?)/revision/(.+)", path):
            name, revision = found.groups()
            if name not in self.hub.folders:
                return self.refuse(401, "RepoNotFound")
            if revision not in ("main", self.hub.commit):
                return self.refuse(404, "RevisionNotFound")
            return self.send(json.dumps(self.hub.info(name)).encode())
        if found := re.fullmatch(rf"/(.+)/resolve/{self.hub.commit}/(.+)", path):
            return self.resolve(*found.groups())
        name, _, file = path.removeprefix("/bytes/").rpartition("/")
        self.hub.asked.append(Asked(file, self.headers.get("Range"), self.headers.get("Authorization")))
        return self.send((self.hub.folders[name] / file).read_bytes(), file)

    def resolve(self, name: str, file: str) -> None:
        if name in self.hub.gated and not self.headers.get("Authorization"):
            return self.refuse(401, "GatedRepo")
        info = stated(self.hub.folders[name] / file, file)
        if "lfs" not in info:
            return self.send((self.hub.folders[name] / file).read_bytes(), file, etag=info["blobId"])
        # Large files lie at another host.
        headers = {"X-Linked-Size": info["size"], "X-Linked-Etag": f'"{info["lfs"]["sha256"]}"'}
        elsewhere = self.hub.address.replace("127.0.0.1", "localhost")
        return self.begin(302, 0, {**headers, "Location": f"{elsewhere}/bytes/{name}/{file}"})

    def send(self, content: bytes, file: str = "", etag: str = "") -> None:
        if file in self.hub.wrong:
            content = bytes(len(content))
        wanted = self.headers.get("Range")
        start = int(wanted.split("=")[1].rstrip("-")) if wanted else 0
        self.begin(206 if wanted else 200, len(content) - start, {"ETag": f'"{etag}"'} if etag else {})
        if self.command == "GET":
            self.wfile.write(content[start : start + self.hub.most])

    def refuse(self, status: int, code: str) -> None:
        self.begin(status, 0, {"X-Error-Code": code})

    def begin(self, status: int, size: int, headers: dict[str, Any]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": size, "X-Repo-Commit": self.hub.commit, **headers}.items():
            self.send_header(name, str(value))
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        """Nothing on the screen of the tests."""


@contextmanager
def serving(hub: SomeHub, handler: Callable[..., BaseHTTPRequestHandler] | None = None) -> Iterator[SomeHub]:
    """The hub, while the block runs; ``handler`` answers its requests, the first argument of which is the hub."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler or _Site, hub))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    hub.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
