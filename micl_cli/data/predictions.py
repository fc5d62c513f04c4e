"""FilePrediction files: answers to the examples of a task, by id or by order.

The format is that of LLaVA-style releases: one JSON object a line with ``question_id`` and ``text``, or a JSON list of
such objects. ``image_id`` and ``caption`` (COCO's results format) are accepted too. The files of `micl predictions`
also name task and split, and mark examples without an answer as ``missing``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, NoReturn

from micl_cli.api.answer import Answer
from micl_cli.api.task import Example, Task
from micl_cli.errors import ManifestError
from micl_cli.io.json_stream import read_json_items
from micl_cli.io.text import TextError, open_regular, parse_json, read_lines

IDS = ("question_id", "image_id", "id")
TEXTS = ("text", "caption")
"""The keys of ids and of answers, in order of precedence."""
_OF_QUESTIONS = ("image", "answer", "conversations")
_OF_PREDICTIONS = ("prompt", "answer_id", "model_id")
"""Keys that distinguish published questions from predictions; both have ``question_id`` and ``text``."""
_NAMED = 5
_HEAD_BYTES = 4096
_FORM = 'Write one object a line: {"question_id": "12", "text": "a dog"}, or a JSON list of such objects.'
_EXPORT = f"{_FORM} A run's answers are written so by: micl predictions RUN --format jsonl -o answers.jsonl"

By = Literal["id", "order"]
OnProblem = Literal["fail", "skip"]


class FilePrediction(NamedTuple):
    """One prediction: its line, the example's id as text ("" if it has none), and the answer, which may be missing.

    ``task`` and ``split`` are those of the example, if the file names them.
    """

    line: int
    id: str
    answer: Answer
    task: str = ""
    split: str = ""


@dataclass(frozen=True)
class Matched:
    """The ``answers`` to the examples of a task, in the order of the examples.

    ``missing`` examples have no answer. ``unknown`` predictions have an id that no example has, ``repeated`` ones the
    id of a later prediction.
    """

    answers: Sequence[Answer]
    missing: int
    unknown: int = 0
    repeated: int = 0


def read_predictions(path: Path) -> Iterator[FilePrediction]:
    """Yield the predictions of a file in order. Raises ManifestError, with file and line, at the first bad one."""
    empty = True
    for line, item in _items(path):
        empty = False
        yield _prediction(f"{path}:{line}", line, item)
    if empty:
        raise ManifestError(f"{path} has no predictions", _FORM)


def match(
    path: Path,
    predictions: Iterable[FilePrediction],
    task: Task,
    split: str,
    examples: Sequence[Example],
    by: By = "id",
    on_problem: OnProblem = "fail",
) -> Matched:
    """Match the predictions of a file to ``examples``, by id or by order.

    Predictions that name another task or split are left out. Raises ManifestError, with file and line, for unknown
    and repeated ids; with ``on_problem`` "skip", the last prediction of an id counts instead. Always raises it if no
    prediction belongs to the task, and, by order, for a wrong number of predictions.
    """
    own = [each for each in predictions if each.task in ("", task.name) and each.split in ("", split)]
    if not own:
        what = f"{path} has no prediction for the {split} examples of {task.name}"
        raise ManifestError(what, "Name the task and split of the file with --task and --split.")
    return _by_order(path, own, task, examples) if by == "order" else _by_id(path, own, task, examples, on_problem)


def _by_id(
    path: Path, predictions: Sequence[FilePrediction], task: Task, examples: Sequence[Example], on_problem: OnProblem
) -> Matched:
    known = {example.id: number for number, example in enumerate(examples)}
    answers = [Answer("", missing=True)] * len(examples)
    first: dict[str, int] = {}
    unknown, repeated = [], []
    for each in _numbered(predictions, known):
        number = known.get(each.id)
        if number is None:
            unknown.append(
                f"{path}:{each.line}: {each.id!r} is not the id of an example" if each.id else _no_id(path, each)
            )
            continue
        if each.id in first:
            repeated.append(f"{path}:{each.line}: id {each.id!r} is also that of line {first[each.id]}")
        first[each.id] = each.line
        answers[number] = each.answer
    if not first:
        raise _no_known_id(unknown, task, examples)
    if on_problem == "fail" and (unknown or repeated):
        _fail([*unknown, *repeated], len(unknown), len(repeated), task)
    missing = sum(answer.missing for answer in answers)
    return Matched(answers, missing, len(unknown), len(repeated))


def _numbered(predictions: Iterable[FilePrediction], known: Container[str]) -> Iterator[FilePrediction]:
    """Yield predictions. The n-th one of an id that the published file repeats gets the id "ID#n"."""
    counts: Counter[str] = Counter()
    for each in predictions:
        counts[each.id] += 1
        numbered = f"{each.id}#{counts[each.id]}"
        yield each._replace(id=numbered) if each.id not in known and numbered in known else each


def _by_order(path: Path, predictions: Sequence[FilePrediction], task: Task, examples: Sequence[Example]) -> Matched:
    ids, own = [each.id for each in predictions], [example.id for example in examples]
    if len(ids) != len(own):
        what = f"{path} has {len(ids):,} predictions, and {task.name} has {len(own):,} examples"
        raise ManifestError(what, "In file order, each example needs one; leave out --by order to match them by id.")
    if ids != own and set(ids) <= set(own):
        raise ManifestError(f"{path} has the ids of {task.name} in another order", "Leave out --by order.")
    answers = [each.answer for each in predictions]
    return Matched(answers, sum(answer.missing for answer in answers))


def _no_known_id(unknown: Sequence[str], task: Task, examples: Sequence[Example]) -> ManifestError:
    own = f"an id of {task.name} is {examples[0].id!r}" if examples else f"{task.name} has no examples"
    hint = f"{own}. Name the task and split of the file; for captions numbered in file order, use --by order."
    return ManifestError(f"{unknown[0]} of {task.name}, nor is that of any other prediction", hint)


def _no_id(path: Path, prediction: FilePrediction) -> str:
    return f"{path}:{prediction.line}: there is no {' or '.join(IDS)}, as an example"


def _fail(problems: Sequence[str], unknown: int, repeated: int, task: Task) -> NoReturn:
    counts = [f"{unknown:,} unknown ids"] * bool(unknown) + [f"{repeated:,} repeated ids"] * bool(repeated)
    more = [f"and {len(problems) - _NAMED:,} more"] if len(problems) > _NAMED else []
    lines = "\n  ".join([*problems[:_NAMED], *more])
    hint = "Correct the file, or use --on-error skip: unknown ids are left out, and of repeated ones the last counts."
    raise ManifestError(f"{' and '.join(counts)} in the predictions for {task.name}:\n  {lines}", hint)


# Reading


def _items(path: Path) -> Iterator[tuple[int, Any]]:
    try:
        if _is_list(path):
            yield from read_json_items(path)
            return
        for line, text in read_lines(path):
            try:
                yield line, parse_json(text)
            except TextError as error:
                raise ManifestError(f"{path}:{line}: not JSON: {error}", _EXPORT) from error
    except OSError as error:
        raise ManifestError(f"{path}: {error.strerror or error}", "Name a file of predictions.") from error
    except TextError as error:
        where = f"{path}:{error.line}" if error.line else f"{path}"
        raise ManifestError(f"{where}: {error}", _FORM) from error


def _is_list(path: Path) -> bool:
    """Return whether a file holds a JSON list, and not JSON Lines, by its first character."""
    with open_regular(path) as file:  # bytes: what is not UTF-8 is reported later, with its line
        return file.read(_HEAD_BYTES).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"[")


def _prediction(where: str, line: int, item: Any) -> FilePrediction:
    if not isinstance(item, Mapping):
        raise ManifestError(f"{where}: it is not an object", _FORM)
    missing = item.get("missing", False)
    if not isinstance(missing, bool):
        raise ManifestError(f"{where}: missing is neither true nor false", 'Write "missing": true without an answer.')
    text = "" if missing else _text(where, item)
    labels = {key: _label(where, key, item) for key in ("task", "split")}
    return FilePrediction(line, _id(where, item), Answer(text, missing=missing), **labels)


def _id(where: str, item: Mapping[str, Any]) -> str:
    """Return the id as text, so that 12 is the same as "12"; empty if there is none."""
    key = next((key for key in IDS if key in item), None)
    value = "" if key is None else item[key]
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise ManifestError(f"{where}: {key} is neither a text nor a whole number", f'Write "{key}": "12".')
    return str(value)


def _text(where: str, item: Mapping[str, Any]) -> str:
    if set(_OF_QUESTIONS) & set(item) and not set(_OF_PREDICTIONS) & set(item):
        raise ManifestError(f"{where}: it is a question (its keys: {_keys(item)}), not a prediction", _FORM)
    key = next((key for key in TEXTS if key in item), None)
    if key is None:
        raise ManifestError(f"{where}: neither {' nor '.join(TEXTS)} is among its keys: {_keys(item)}", _FORM)
    if not isinstance(item[key], str):
        raise ManifestError(f"{where}: {key} is not a text", f'Write "{key}": "…", in quotes; "" is an empty answer.')
    return str(item[key])


def _label(where: str, key: str, item: Mapping[str, Any]) -> str:
    value = item.get(key, "")
    if not isinstance(value, str):
        raise ManifestError(f"{where}: {key} is not a text", f'Write "{key}": "…", or leave it out.')
    return value


def _keys(item: Mapping[str, Any]) -> str:
    return ", ".join(map(str, list(item)[:8])) or "none"
