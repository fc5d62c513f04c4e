"""CL-VISTA (arXiv 2604.00677): continual learning of questions about videos, in eight tasks.

Layout: a folder for each task with its videos, a file of training conversations
(``{"id", "video", "conversations"}``), and two files for the test, joined by their ids: questions
``{"video_name", "question_id", "question"}`` and answers ``{"question_id", "answer"}``.

The names of files and folders inside a task's folder are set in a configuration of the release, so that several are
looked for. For Traffic, Movie and Sports they are ``json_row/train_data_30k.json``,
``train_json_row/movie_train_subtitle_30k.json`` and so on, and paths of videos are relative to the root. Other files in
folders of such names are told apart by what their names contain. The videos of ``space`` come from ScanNet, under its
own terms: they are converted from its frames by ``Space/convert_video.py`` of the data set.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

from micl_cli.api import (
    QA,
    QUESTION_ID,
    RELEASE,
    Fault,
    ManifestError,
    Media,
    Reader,
    ReaderTask,
    Row,
    Source,
    SourceRows,
    rows_of,
    rows_of_each,
    text_field,
)
from micl_readers.llava import clean_path, conversation_rows, published_id, under

VIDEO = "video"
RULES = "rules"
"""The scorer variant without a judge: whether the answer contains the reference."""
_SUFFIXES = (".mp4", ".avi", ".mkv", ".mov", ".webm")
_FOLDERS = {
    "counting": "Counting",
    "space": "Space",
    "traffic": "Traffic",
    "movie": "Movie",
    "gui": "GUI",
    "science": "Science",
    "sports": "Sports",
    "star": "STAR",
}
_FILES = {
    "train": (
        "json_row/train_data_30k.json",
        "train_json_row/movie_train_subtitle_30k.json",
        "train.json",
        "{task}_train.json",
        "train_{task}.json",
        "annotations/train.json",
    ),
    "questions": (
        *("json_row/test_questions_2k.json", "test_json_row/test_question_2k.json"),
        *("test_q.json", "test_questions.json", "test_question.json", "{task}_test_q.json", "test_q_{task}.json"),
        *("test/test_q.json", "annotations/test_q.json"),
    ),
    "answers": (
        *("json_row/test_answers_2k.json", "test_json_row/test_answer_2k.json"),
        *("test_a.json", "test_answers.json", "test_answer.json", "{task}_test_a.json", "test_a_{task}.json"),
        *("test/test_a.json", "annotations/test_a.json"),
    ),
}
"""The names that are looked for, below the folder of a task, by the role of the file."""
_PATTERNS = {"train": "*train*.json", "questions": "test_question*.json", "answers": "test_answer*.json"}
"""The names of files in a folder ``json_row`` or the like, where none of the above exists."""
_OF_METHODS = ("replay", "router")
"""What the names of files begin with that are not those of the benchmark but of methods."""
_MEDIA = {"train": ("train", "videos/train", "train_videos"), "test": ("test", "videos/test", "test_videos")}
"""The possible folders of videos, below that of a task; without them, the videos of both splits share one folder."""
_SHARED = ("videos", "video", "")


def _task(description: str, note: str = "") -> ReaderTask:
    judged = "answers are scored by a judge model (MICL_JUDGE_MODEL); --scorer rules is not a published rule"
    return ReaderTask(
        modalities=frozenset({VIDEO}),
        type=QA,
        scorers={RELEASE: "judge", RULES: "contains"},
        description=f"questions about videos: {description}",
        note=f"{judged}. {note}" if note else judged,
    )


class CLVista(Reader):
    """Counting, space, traffic, movies, graphical interfaces, science, sports and STAR, in this order."""

    benchmark = "cl-vista"
    title = "CL-VISTA"
    marks = ("train_VISTA_joint.json", "Counting/*test_q*.json", "STAR/*test_q*.json")
    citation = "CL-VISTA, arXiv 2604.00677"
    licence = "see the data set's page; the videos of Space are ScanNet's, under its terms of use"
    origin = "MLLM-CL/CL-VISTA"
    tasks: ClassVar[Mapping[str, ReaderTask]] = {
        "counting": _task("counting"),
        "space": _task("space", "Its videos come from ScanNet, under its own terms."),
        "traffic": _task("traffic"),
        "movie": _task("movies"),
        "gui": _task("graphical user interfaces"),
        "science": _task("science"),
        "sports": _task("sports"),
        "star": _task("situated reasoning (STAR)"),
    }

    def locate(self, task: str, source: Source) -> Mapping[str, Path]:
        """Return the files of conversations, questions and answers of the task's folder."""
        folder = _FOLDERS[task]
        names = {role: [f"{folder}/{name.format(task=folder)}" for name in names] for role, names in _FILES.items()}
        return {role: source.find(*each, *_matching(source, folder, role)) for role, each in names.items()}

    def rows(self, task: str, files: Mapping[str, Path], source: Source) -> SourceRows:
        """Yield the conversations, the questions with their answers, and faults for unused videos."""
        train, test = (Videos(source, _FOLDERS[task], split) for split in ("train", "test"))
        learnt = conversation_rows(source, files["train"], train.places, VIDEO)
        asked = question_rows(source, files["questions"], files["answers"], test)
        return chain(learnt, asked, unused(train, test))


def _matching(source: Source, folder: str, role: str) -> Iterator[str]:
    """Yield the files of a role in the folders of annotations of a task. Raises ManifestError if there are several."""
    paths = [
        path.relative_to(source.root).as_posix()
        for path in sorted((source.root / folder).glob(f"*json_row/{_PATTERNS[role]}"))
        if not path.name.startswith(_OF_METHODS)
    ]
    known = [name for name in _FILES[role] if source.has_file(f"{folder}/{name.format(task=folder)}")]
    if len(paths) > 1 and not known:
        hint = f"Rename the published one to {folder}/{role if role == 'train' else f'test_{role}'}.json."
        raise ManifestError(f"{source.root} has {' and '.join(paths)}: which one is it?", hint)
    yield from paths


class Videos:
    """The videos of a split, and the ones that annotations name."""

    def __init__(self, source: Source, task: str, split: str) -> None:
        root = source.media_root
        names = [name for name in (*_MEDIA[split], *_SHARED) if (root / task / name).is_dir()]
        self.source = source
        self.folder = f"{task}/{names[0]}".rstrip("/") if names else task
        self.named: set[str] = set()
        self._places = under(self.folder, task)

    def places(self, name: str) -> list[str]:
        """Return the possible paths of a video; annotations name it with or without its suffix."""
        endings = ("",) if name.lower().endswith(_SUFFIXES) else (*_SUFFIXES, "")
        paths = [f"{path}{ending}" for path in self._places(name) for ending in endings]
        self.named.add(self.source.first_medium(paths))
        return paths

    def unnamed(self) -> Iterator[str]:
        """Yield the videos in the folder of the split that no annotation names, sorted."""
        root = self.source.media_root
        paths = (path for path in (root / self.folder).rglob("*") if path.suffix.lower() in _SUFFIXES)
        yield from sorted({path.relative_to(root).as_posix() for path in paths} - self.named)


def question_rows(source: Source, questions: Path, answers: Path, videos: Videos) -> SourceRows:
    """Yield a test example for each question with the answer of its id, and a fault where one of them is missing."""
    replies: dict[str, tuple[str, str]] = {}
    asked: set[str] = set()

    def reply(where: str, item: Any) -> tuple[Row, ...]:
        name = text_field(item, QUESTION_ID, where)
        if name in replies:
            raise ManifestError(f"{where}: question_id {name!r} is also that of {replies[name][1]}")
        replies[name] = text_field(item, "answer", where), where
        return ()

    def question(where: str, item: Any) -> Row:
        name = text_field(item, QUESTION_ID, where)
        asked.add(name)
        video = source.first_medium(videos.places(clean_path(text_field(item, "video_name", where))))
        if name not in replies:
            raise ManifestError(f"{where}: {source.where(answers)} has no answer to question_id {name!r}")
        content = (Media(VIDEO, Path(video)), text_field(item, "question", where).strip())
        return Row(name, "test", content, (replies[name][0],), meta=published_id(item))

    yield from rows_of_each(source.json_items(answers), reply)
    yield from rows_of(source.json_items(questions), question)
    for name, (_, where) in replies.items():
        if name not in asked:
            yield Fault(where, name, f"{source.where(questions)} has no question with question_id {name!r}")


def unused(*splits: Videos) -> Iterator[Fault]:
    """Yield a fault for each video that no annotation names: the files are of another release, or incomplete."""
    named = set[str]().union(*(videos.named for videos in splits))
    for path in dict.fromkeys(path for videos in splits for path in videos.unnamed()):
        if path not in named:
            yield Fault(path, path, "no conversation and no question names this video")
