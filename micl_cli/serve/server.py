"""The server of a run's model: requests become questions, and answers become responses."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from micl_cli.api.task import Content
from micl_cli.errors import MediaError
from micl_cli.io.text import TextError, decode, parse_json
from micl_cli.registry import Registry
from micl_cli.serve.addresses import check_exposure
from micl_cli.serve.chat import Attachment, ChatRequest, parse_chat
from micl_cli.serve.completions import Completion, model_entry, model_list
from micl_cli.serve.errors import ApiError
from micl_cli.serve.http import Handler, Limits, Server, not_found
from micl_cli.serve.jobs import Job, Worker
from micl_cli.serve.names import ModelNames
from micl_cli.session.model import Reply, RunModel
from micl_cli.session.question import dialogue, inspect

if TYPE_CHECKING:
    from micl_cli.api.backbone import InspectedMedium

CHAT, MODELS = "/v1/chat/completions", "/v1/models"
_STOP_SECONDS = 5.0


def serve(
    model: RunModel,
    names: ModelNames,
    registry: Registry,
    *,
    host: str,
    port: int,
    token: str,
    limits: Limits,
    log: Callable[[str], None],
    stopped: Callable[[], bool],
    ready: Callable[[str], None],
) -> None:
    """Answer requests until ``stopped``; the calling thread computes. ``ready`` is called with the base URL.

    Raises UsageError if the server would be open to other machines, MiclError if it cannot listen there.
    """
    check_exposure(host, token)
    worker = Worker(model, log)
    service = _Service(worker, names, registry)
    handler = type("RunHandler", (ChatHandler,), {"service": service})
    with Server((host, port), handler, token=token, limits=limits, log=log) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
        thread.start()
        try:
            ready(server.url)
            server.note_addresses()
            worker.work(stopped)
        finally:
            server.shutdown()
            server.wait_idle(_STOP_SECONDS)


class _Service:
    """The objects that the threads of all connections share."""

    def __init__(self, worker: Worker, names: ModelNames, registry: Registry) -> None:
        self.worker, self.names, self.registry = worker, names, registry
        self.created = int(time.time())


class ChatHandler(Handler):
    """Answers requests for models and chat completions."""

    service: _Service

    def known(self, path: str) -> bool:
        """Return whether requests with a body are answered at ``path``."""
        return path == CHAT

    def get(self, path: str) -> Mapping[str, Any]:
        """Return the list of models, or one of them."""
        created = self.service.created
        if path == MODELS:
            return model_list(self.service.names.listed, created)
        if not path.startswith(f"{MODELS}/"):
            raise ApiError(405, "send a POST request") if path == CHAT else not_found(path)
        name = unquote(path.removeprefix(f"{MODELS}/"))
        self.service.names.target(name)
        return model_entry(name, created)

    def post(self, path: str, body: bytes) -> None:
        """Answer a request for a chat completion."""
        deadline = time.monotonic() + self.server.limits.timeout
        request = parse_chat(_document(body))
        target = self.service.names.target(request.model)
        decoding = {"max_new_tokens": request.max_new_tokens}
        with written(request.attachments, self.service.registry) as media:
            job = Job(_content(request, media), media, target, decoding, deadline)
            self.service.worker.submit(job)
            try:
                self._respond(request, job)
            finally:
                job.ended.set()

    def _respond(self, request: ChatRequest, job: Job) -> None:
        completion = Completion(request.model)
        for result in job.next_results():
            if not isinstance(result, Reply | ApiError) and self.client_left:
                return
            if isinstance(result, ApiError):
                raise result
            if isinstance(result, Reply):
                self.server.log(f"{self.client_address[0]} {request.model}: {result.origin}")
            if request.stream and result is not None:
                self._send_chunk(completion, result)
            elif isinstance(result, Reply):
                self.send_document(200, completion.whole(result))

    def _send_chunk(self, completion: Completion, result: str | Reply) -> None:
        if not self.answered:
            self.send_events_head()
            self.send_event(completion.first())
        if isinstance(result, str):
            self.send_event(completion.piece(result))
        else:
            self.send_event(completion.last(result))
            self.send_event("[DONE]")


def _document(body: bytes) -> Any:
    try:
        return parse_json(decode(body))
    except TextError as error:
        raise ApiError(400, f"the body is not JSON: {error}") from error


def _content(request: ChatRequest, media: list[InspectedMedium]) -> Content:
    """Return all turns as one content, with the files of their attachments."""
    files = iter(media)
    turns = [tuple(item if isinstance(item, str) else next(files).medium for item in turn) for turn in request.turns]
    return dialogue(turns)


@contextmanager
def written(attachments: list[Attachment], registry: Registry) -> Iterator[list[InspectedMedium]]:
    """Yield the attachments as inspected media, whose files exist during the block. Raises ApiError."""
    with ExitStack() as stack:
        try:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="micl-serve-"))).resolve()
            paths = [_write(attachment, folder, number) for number, attachment in enumerate(attachments, 1)]
        except OSError as error:
            raise ApiError(500, f"the media cannot be stored: {error.strerror or error}") from error
        named = zip(attachments, paths, strict=True)
        yield [_inspected(attachment.modality, path, registry) for attachment, path in named]


def _write(attachment: Attachment, folder: Path, number: int) -> Path:
    path = folder / f"{attachment.modality}-{number}{attachment.suffix}"
    path.write_bytes(attachment.data)
    return path


def _inspected(modality: str, path: Path, registry: Registry) -> InspectedMedium:
    try:
        return inspect(modality, path, registry)
    except MediaError as error:
        text = error.message.replace(str(path), path.stem)
        raise ApiError(400, text, code="invalid_media", param="messages") from error
