"""Questions to the model of a run, which is loaded once and answers many."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypedDict

from micl_cli.cli.console import note
from micl_cli.cli.status import quiet_libraries
from micl_cli.errors import UsageError, nearest
from micl_cli.notebook.torch_state import TorchState
from micl_cli.session.model import AnswerOptions, Receive, Reply, load_model
from micl_cli.session.question import content_of, inspect
from micl_cli.session.session import Session

if TYPE_CHECKING:
    from micl_cli.api.backbone import InspectedMedium
    from micl_cli.api.task import Content

Files = str | Path | Sequence[str | Path]
Prompt = str | Sequence[str | tuple[Any, ...]]
"""A text, or the texts and media of a question in order; a medium is ``("image", PATH)``."""
MODALITIES = ("image", "audio", "video")


class Question(TypedDict, total=False):
    """The arguments of a question besides its prompt.

    ``image``, ``audio`` and ``video`` are files, one or several, which come before the text of the prompt, or at its
    marks such as ``<image>``. ``stage`` is the stage that answers (the last by default, 0 is before learning).
    ``adapter`` names the adapter that answers instead of the method's choice ("base": the base model alone), ``task``
    the task of the question, for methods that need to know it. The others replace settings of the run.
    """

    image: Files
    audio: Files
    video: Files
    stage: int | None
    adapter: str | None
    task: str
    max_new_tokens: int | None
    num_beams: int | None
    repetition_penalty: float | None
    length_penalty: float | None


class AskedModel:
    """The model of a run in memory, with the state of torch for its answers. It answers one question at a time."""

    def __init__(self, session: Session, run_id: str, device: str = "auto") -> None:
        self.session, self._state, self._turn = session, TorchState(), threading.Lock()
        with quiet_libraries(), self._state.in_use():
            self.model, notices = load_model(session, run_id, device)
        for notice in notices:
            note(f"note: {notice}")

    def ask(self, prompt: Prompt, question: Mapping[str, Any], receive: Receive = lambda piece: None) -> Reply:
        """Return the reply to a question; ``receive`` gets the pieces of the answer while it is generated."""
        about = _checked(question)
        files = {modality: about.pop(modality, ()) for modality in MODALITIES}
        stage, adapter, task = about.pop("stage", None), about.pop("adapter", None), about.pop("task", "")
        content, media = self._content(prompt, files)
        for notice in self.model.check_media(media, stage):
            note(f"note: {notice}")
        options = AnswerOptions(adapter=adapter, task=task, decoding=about)
        with self._turn, quiet_libraries(), self._state.in_use():
            return self.model.answer(content, receive, stage=stage, options=options)

    def stream(self, prompt: Prompt, question: Mapping[str, Any]) -> Iterator[str]:
        """Yield the pieces of the answer while another thread generates it. Leaving the loop ends the answer."""
        results: SimpleQueue[str | BaseException | None] = SimpleQueue()
        unwanted = threading.Event()

        def receive(piece: str) -> None:
            if unwanted.is_set():
                raise _Unwanted
            results.put(piece)

        def answer() -> None:
            try:
                self.ask(prompt, question, receive)
                results.put(None)
            except BaseException as error:
                results.put(error)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        try:
            while (result := results.get()) is not None:
                if isinstance(result, BaseException):
                    raise result
                yield result
        finally:
            unwanted.set()
            thread.join()

    def _content(self, prompt: Prompt, files: Mapping[str, Files]) -> tuple[Content, list[InspectedMedium]]:
        """Return the content of a question, and its media. Raises UsageError, MediaError."""
        before = [
            self._inspected(modality, path) for modality, given in files.items() for path in _paths(modality, given)
        ]
        if isinstance(prompt, str):
            return content_of(prompt, [each.medium for each in before]), before
        items: list[str | InspectedMedium] = [*before]
        for each in prompt:
            items.append(each if isinstance(each, str) else self._inspected(*_medium(each)))
        media = [item for item in items if not isinstance(item, str)]
        return tuple(item if isinstance(item, str) else item.medium for item in items), media

    def _inspected(self, modality: str, path: str | Path) -> InspectedMedium:
        return inspect(modality, Path(path).expanduser(), self.session.registry)


class _Unwanted(Exception):
    """The answer is no longer wanted."""


def _checked(question: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a question. Raises UsageError for an unknown one."""
    known = Question.__annotations__
    for name in question:
        if name not in known:
            hint = nearest(name, known) or f"Known: {', '.join(sorted(known))}."
            raise UsageError(f"a question has no argument {name!r}", hint)
    return dict(question)


def _paths(modality: str, given: Files) -> Sequence[str | Path]:
    """Return one or several paths as a list. Raises UsageError for anything else, such as a picture in memory."""
    paths = given if isinstance(given, Sequence) and not isinstance(given, str) else [given]
    for path in paths:
        if not isinstance(path, str | Path):
            hint = f"Save it to a file, and give its path: {modality}=PATH."
            raise UsageError(f"{modality} must be a path or a list of paths, not {type(path).__name__}", hint)
    return paths


def _medium(item: Sequence[Any]) -> tuple[str, str | Path]:
    """Return the modality and the path of a medium in a prompt. Raises UsageError."""
    if len(item) < 2 or not isinstance(item[0], str) or not isinstance(item[1], str | Path):
        raise UsageError(f"{item!r} is no part of a prompt", 'Write a medium as ("image", "cat.png").')
    return item[0], item[1]
