"""A small model hub on this machine that takes uploads: repositories are made, and files committed to them."""

from __future__ import annotations

import base64
import json
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import unquote, urlsplit

from hubsite import serving

COMMIT = "c" * 40
LARGE = ".safetensors"


@dataclass
class Repository:
    """A repository: its files by name, and whether only its owner sees it."""

    private: bool = False
    files: dict[str, bytes] = field(default_factory=dict)


@dataclass
class UploadHub:
    """What the hub has by id. Only requests with ``token`` may write; ``tokens`` are those that were sent."""

    token: str = "hf_of_this_test"
    repositories: dict[str, Repository] = field(default_factory=dict)
    tokens: set[str | None] = field(default_factory=set)
    address: str = ""
    objects: dict[str, bytes] = field(default_factory=dict)


class _Site(BaseHTTPRequestHandler):
    def __init__(self, hub: UploadHub, *args: Any) -> None:
        self.hub = hub
        super().__init__(*args)

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if "/resolve/" in path:
            return self.resolve(*path.removeprefix("/").split(f"/resolve/{COMMIT}/"))
        name = unquote(path.removeprefix("/api/models/")).partition("/revision/")[0].partition("/tree/")[0]
        if name not in self.hub.repositories:
            return self.send(404, {}, {"X-Error-Code": "RepoNotFound"})
        repository = self.hub.repositories[name]
        listed = [{"rfilename": file} for file in sorted(repository.files)]
        if "/tree/" in path:
            entries = [
                {"type": "file", "path": file, "size": len(content), "oid": "0" * 40}
                for file, content in repository.files.items()
            ]
            return self.send(200, entries)
        return self.send(200, {"id": name, "sha": COMMIT, "private": repository.private, "siblings": listed})

    do_HEAD = do_GET

    def resolve(self, name: str, file: str) -> None:
        content = self.hub.repositories[name].files[unquote(file)]
        self.begin(200, len(content), {"ETag": f'"{sha256(content).hexdigest()}"', "X-Repo-Commit": COMMIT})
        if self.command == "GET":
            self.wfile.write(content)

    def do_PUT(self) -> None:
        self.hub.objects[self.path.rpartition("/")[2]] = self.body()
        self.send(200, {})

    def do_POST(self) -> None:
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None
        self.hub.tokens.add(token)
        body, path = self.body(), urlsplit(self.path).path
        if path == "/api/validate-yaml":
            return self.send(200, {"warnings": []})
        if token != self.hub.token:
            return self.send(401, {"error": "Invalid username or password."})
        if path == "/api/repos/create":
            return self.create(json.loads(body))
        if path.endswith("/info/lfs/objects/batch"):
            return self.send(200, {"transfer": "basic", "objects": [*map(self.upload, json.loads(body)["objects"])]})
        if "/preupload/" in path:
            return self.send(200, {"files": [self.mode(file["path"]) for file in json.loads(body)["files"]]})
        name = path.removeprefix("/api/models/").partition("/commit/")[0]
        self.commit(self.hub.repositories[name], [json.loads(line) for line in body.splitlines()])
        return self.send(200, {"commitUrl": f"{self.hub.address}/{name}/commit/{COMMIT}", "commitOid": COMMIT})

    def create(self, asked: dict[str, Any]) -> None:
        name = f"{asked['organization']}/{asked['name']}"
        private = bool(asked.get("private")) or asked.get("visibility") == "private"
        self.hub.repositories.setdefault(name, Repository(private, {".gitattributes": b""}))
        self.send(200, {"url": f"{self.hub.address}/{name}"})

    def upload(self, each: dict[str, Any]) -> dict[str, Any]:
        return {**each, "actions": {"upload": {"href": f"{self.hub.address}/objects/{each['oid']}"}}}

    def mode(self, path: str) -> dict[str, Any]:
        return {"path": path, "uploadMode": "lfs" if path.endswith(LARGE) else "regular", "shouldIgnore": False}

    def commit(self, repository: Repository, operations: list[dict[str, Any]]) -> None:
        for each in operations:
            value = each["value"]
            if each["key"] == "file":
                repository.files[value["path"]] = base64.b64decode(value["content"])
            elif each["key"] == "lfsFile":
                repository.files[value["path"]] = self.hub.objects[value["oid"]]
            elif each["key"] == "deletedFile":
                del repository.files[value["path"]]

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            chunks = []
            while size := int(self.rfile.readline(), 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(chunks)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def send(self, status: int, content: Any, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(content).encode()
        self.begin(status, len(data), {"Content-Type": "application/json", **(headers or {})})
        if self.command != "HEAD":
            self.wfile.write(data)

    def begin(self, status: int, size: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(size), **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        """Nothing on the screen of the tests."""


def taking_uploads(hub: UploadHub) -> AbstractContextManager[UploadHub]:
    """The hub, while the block runs."""
    return serving(hub, _Site)
