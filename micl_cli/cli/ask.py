"""``micl ask``: ask a run's model."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from micl_cli.cli.command import Command
from micl_cli.cli.completers import complete_runs
from micl_cli.cli.console import echo, echo_json, escape, note, style
from micl_cli.cli.context import current_settings
from micl_cli.cli.eval import parse_stages
from micl_cli.cli.plan_options import answering_options, trust_option
from micl_cli.cli.status import DownloadBars, quiet_libraries
from micl_cli.cli.unexpected import MODALITIES, modality_of, question_command
from micl_cli.errors import UsageError
from micl_cli.io.text import TextError, check_size, decode

if TYPE_CHECKING:
    from micl_cli.api.backbone import InspectedMedium
    from micl_cli.api.task import Content
    from micl_cli.session import Session
    from micl_cli.session.evaluation import StageRange
    from micl_cli.session.model import AnswerOptions, RunModel

EPILOG = """\b
Examples:
  micl ask @last --image cat.png "What is it?"
  micl ask 3f2a --image one.png --image two.png "Is <image> the same as <image>?"
  micl ask @last --audio bell.wav --compare "What do you hear?"
  echo "Name a colour." | micl ask @last
  micl ask @last --image cat.png -i

\b
Media come before the text, in the order in which they are given, or at the marks <image>, <audio> and
<video> of the text. The answer is written to stdout while it is generated; stderr shows the stage and the
adapters that answered, with the choice of the router and its margin if the method has one."""
MAX_PROMPT_BYTES = 1 << 20


class AskCommand(Command):
    """A command that records the order in which options of media are given."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments, and record the order of the media in ``ctx.meta``."""
        rest = super().parse_args(ctx, list(args))
        _, _, order = self.make_parser(ctx).parse_args(args=list(args))
        ctx.meta[__name__] = [each.name for each in order if each.name in MODALITIES]
        return rest


_FILE: dict[str, Any] = {"multiple": True, "type": click.Path(path_type=Path), "metavar": "FILE"}


@click.command(cls=AskCommand, epilog=EPILOG)
@click.argument("run", shell_complete=complete_runs)
@click.argument("prompt", required=False)
@click.option("--image", **_FILE, help="An image file; repeatable.")
@click.option("--audio", **_FILE, help="An audio file; repeatable.")
@click.option("--video", **_FILE, help="A video file; repeatable.")
@click.option("--stage", "stages", default="last", metavar="STAGES", callback=parse_stages,
              help="The stages to ask: 0 (before learning), 2, last, 0,last or 1..last.")  # fmt: skip
@click.option("--compare", is_flag=True, help="Ask after every stage, like --stage 1..last.")
@click.option("--adapter", metavar="NAME",
              help="The adapter that answers, instead of the method's choice; base: the base model alone.")  # fmt: skip
@click.option("--task", metavar="TASK", default="", show_default=False,
              help="The task of the question, for methods that need to know it.")  # fmt: skip
@click.option("-i", "--interactive", is_flag=True, help="Chat: each question continues the conversation.")
@answering_options
@trust_option
@click.option("--device", default="auto", type=click.Choice(["auto", "cpu", "cuda"]), help="The device to compute on.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def ask(
    run: str,
    prompt: str | None,
    stages: list[StageRange],
    compare: bool,
    adapter: str | None,
    task: str,
    interactive: bool,
    trust_remote_code: bool,
    device: str,
    as_json: bool,
    **given: Any,
) -> None:
    """Ask the model of a run, after any of its stages.

    PROMPT is the text of the question. It is read from stdin if it is "-", or if it is left out and stdin is not
    a terminal. The answer is the one that `micl eval` would score.
    """
    from micl_cli.session import Session
    from micl_cli.session.model import AnswerOptions, asked_stages, load_model
    from micl_cli.session.question import inspect

    ctx = click.get_current_context()
    if compare and ctx.get_parameter_source("stages") is ParameterSource.COMMANDLINE:
        raise UsageError("--compare and --stage cannot be combined", "For some of the stages, write --stage 1,3.")
    named = _ordered_media(ctx, given)
    session = Session(current_settings(), progress=DownloadBars().update, trusted=trust_remote_code)
    run_id = _resolve(session, run, prompt, named)
    text = _first_prompt(prompt, interactive, as_json)
    positions = asked_stages(session, run_id, [(1, None)] if compare else stages)
    media = [inspect(modality, path, session.registry) for modality, path in named]
    decoding = {name: value for name, value in given.items() if name not in MODALITIES}
    options = AnswerOptions(adapter=adapter, task=task, decoding=decoding)
    with quiet_libraries():
        model, notices = load_model(session, run_id, device)
        for notice in notices:
            note(f"note: {notice}")
        if model.knows_task and adapter is None and not task:
            note(f"note: {model.plan.strategy} may need the task of the question: give --task TASK or --adapter NAME")
        asker = Asker(model, positions, options)
        if interactive:
            from micl_cli.cli.ask_chat import chat

            chat(asker, session.registry, media, text)
        elif as_json:
            echo_json(asker.document(text, media))
        else:
            asker.show(text, media)


def _ordered_media(ctx: click.Context, given: dict[str, Any]) -> list[tuple[str, Path]]:
    """Return the modality and file of each medium, in the order of the command line."""
    values = {modality: list(given[modality]) for modality in MODALITIES}
    order = [name for name in ctx.meta.get(__name__, ()) if values[name]]
    ordered = [(name, values[name].pop(0)) for name in order if values[name]]
    # Those of variables and configuration files have no place on the command line.
    return [*ordered, *((name, path) for name, paths in values.items() for path in paths)]


def _resolve(session: Session, run: str, prompt: str | None, media: Sequence[tuple[str, Path]]) -> str:
    """Return the id of the run. Raises UsageError, also if it is left out, or if the question is a media file."""
    given = [(modality, str(path)) for modality, path in media]
    if prompt and modality_of(prompt) and Path(prompt).is_file():
        problem = f"the question is the name of a file, {prompt!r}: media are named by options"
        raise UsageError(problem, f"Write: {question_command(run, [prompt], given)}")
    try:
        return session.resolve(run)
    except UsageError as error:
        if not (modality_of(run) or (prompt is None and (" " in run or "?" in run))):
            raise
        command = question_command("@last", [run, *([prompt] if prompt else [])], given)
        raise UsageError(f"no run {run!r}: the first argument is the run", f"Write: {command}") from error


def _first_prompt(prompt: str | None, interactive: bool, as_json: bool) -> str:
    """Return the text of the question, read from stdin if necessary; empty for a chat that begins without one.

    Raises UsageError if there is none.
    """
    if interactive:
        if as_json or prompt == "-":
            other = "--json" if as_json else "a prompt from stdin"
            raise UsageError(f"-i and {other} cannot be combined", "Leave one of them out.")
        return prompt or ""
    if prompt is None and sys.stdin.isatty():
        hint = 'Write it after the run: micl ask RUN "What is it?". Or chat: micl ask RUN -i'
        raise UsageError("there is no question", hint)
    text = _read_stdin() if prompt in (None, "-") else prompt or ""
    if not text.strip():
        raise UsageError("the question is empty", 'Write it after the run: micl ask RUN "What is it?"')
    return text


def _read_stdin() -> str:
    try:
        data = sys.stdin.buffer.read(MAX_PROMPT_BYTES + 1)
        check_size(len(data), MAX_PROMPT_BYTES)
        return decode(data).rstrip("\r\n")
    except TextError as error:
        raise UsageError(f"the prompt from stdin cannot be used: {error}", "Write at most 1 MiB of UTF-8.") from error


class Asker:
    """Asks a run's model after some stages, and shows the answers."""

    def __init__(self, model: RunModel, stages: Sequence[int], options: AnswerOptions) -> None:
        self.model, self.stages, self.options = model, stages, options

    def document(self, text: str, media: Sequence[InspectedMedium]) -> dict[str, Any]:
        """Return the document of ``--json``."""
        content = self._content(text, media)
        replies = [self.model.answer(content, stage=stage, options=self.options) for stage in self.stages]
        listed = [{"modality": m.modality, "path": str(m.path), "sha256": m.digest, **f} for m, f in media]
        answers = [reply.as_json() for reply in replies]
        return {"run": self.model.run.id, "prompt": text, "media": listed, "answers": answers}

    def show(self, text: str, media: Sequence[InspectedMedium], before: Content = ()) -> list[Content]:
        """Write the answers to a question that follows ``before``. Return the question and the last answer."""
        from micl_cli.session.question import dialogue

        content = self._content(text, media)
        asked, reply = dialogue([before, content]), ""
        for stage in self.stages:
            reply = self._show(asked, stage)
        return [content, (reply,)]

    def _content(self, text: str, media: Sequence[InspectedMedium]) -> Content:
        from micl_cli.session.question import content_of

        for notice in self.model.check_media(media, self.stages[-1]):
            note(f"note: {notice}")
        return content_of(text, [each.medium for each in media])

    def _show(self, content: Content, stage: int) -> str:
        if len(self.stages) > 1:
            echo(style(self._heading(stage), sys.stdout, bold=True))
        pieces: list[str] = []

        def receive(piece: str) -> None:
            pieces.append(piece)
            _write(piece)

        try:
            reply = self.model.answer(content, receive, stage=stage, options=self.options)
        except BaseException:
            if pieces:
                _write("\n")  # what follows begins on a line of its own
            raise
        _write("\n")
        note(f"({reply.origin})")
        return reply.text

    def _heading(self, stage: int) -> str:
        return f"after stage {stage}, {', '.join(self.model.tasks(stage))}:" if stage else "before learning:"


def _write(piece: str) -> None:
    sys.stdout.write(escape(piece, keep="\n\t"))
    sys.stdout.flush()
