"""MME (Fu et al. 2023, arXiv 2306.13394): two yes/no questions on each image.

Layout: a folder for each of 14 categories, in which each image has a text file of the same name with two lines
``question<TAB>answer``, in the same folder, or in ``images/`` and ``questions_answers_YN/``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from micl_cli.api import (
    CATEGORY,
    GROUP,
    QA,
    RELEASE,
    Count,
    Fault,
    ManifestError,
    Media,
    ReaderTask,
    Row,
    Source,
    SourceRow,
    SourceRows,
)
from micl_readers.general.suite import Suite

PERCEPTION = (
    *("existence", "count", "position", "color", "posters"),
    *("celebrity", "scene", "landmark", "artwork", "OCR"),
)
COGNITION = ("commonsense_reasoning", "numerical_calculation", "text_translation", "code_reasoning")
_FOLDERS = ("", "MME_Benchmark_release_version", "MME_Benchmark_release_version/MME_Benchmark", "MME", "mme")
_QUESTIONS, _IMAGES = "questions_answers_YN", "images"
_SUFFIXES = (".jpg", ".png", ".jpeg")
_PAIR = 2


def locate(source: Source) -> Mapping[str, Path]:
    """Return the text file of each image, by category and name. Raises ManifestError if a category is missing."""
    base = next((name for name in _FOLDERS if (source.root / name / PERCEPTION[0]).is_dir()), None)
    if base is None:
        where = " or ".join(str(source.root / name / PERCEPTION[0]) for name in _FOLDERS)
        raise ManifestError(f"no folder {where}", "The root has a folder for each category of MME.")
    return dict(item for category in (*PERCEPTION, *COGNITION) for item in _texts(source.root / base, category))


def rows(files: Mapping[str, Path], source: Source) -> SourceRows:
    """Yield two questions for each image, and a fault for images without questions and the reverse."""
    for name, path in files.items():
        category, _, stem = name.partition("/")
        yield from _pair(source, path, category, stem)
    texts: dict[str, set[str]] = {}
    for path in files.values():
        texts.setdefault(_image_folder(source, path), set()).add(path.stem)
    for folder, stems in texts.items():
        yield from _images_without_questions(source.media_root / folder, folder, stems)


def _texts(base: Path, category: str) -> Iterator[tuple[str, Path]]:
    folder = base / category
    texts = sorted((folder / _QUESTIONS if (folder / _QUESTIONS).is_dir() else folder).glob("*.txt"))
    if not texts:
        raise ManifestError(f"{folder} has no questions in text files", "MME has 14 categories; download all of them.")
    return ((f"{category}/{path.stem}", path) for path in texts)


def _pair(source: Source, path: Path, category: str, stem: str) -> Iterator[SourceRow | Fault]:
    try:
        lines = [(where, *_parts(where, line)) for where, line in source.lines(path) if line.strip()]
        if len(lines) != _PAIR:
            raise ManifestError(f"{source.where(path)}: it has {len(lines)} questions, not {_PAIR}")
    except ManifestError as error:
        yield Fault(source.where(path), f"{category}/{stem}", error.message)
        return
    folder = _image_folder(source, path)
    image = source.first_medium([f"{folder}/{stem}{suffix}" for suffix in _SUFFIXES])
    for number, (where, question, answer) in enumerate(lines, 1):
        name, content = f"{category}/{Path(image).name}/{number}", (Media("image", Path(image)), question)
        row = Row(name, "test", content, (answer,), meta={CATEGORY: category, GROUP: f"{category}/{stem}"})
        yield SourceRow(row, where)


def _parts(where: str, line: str) -> tuple[str, str]:
    """Return question and answer of a line."""
    question, tab, answer = line.strip().rpartition("\t")
    if not tab or answer.strip().lower() not in ("yes", "no"):
        raise ManifestError(f"{where}: the line is not a question, a tab, and Yes or No")
    return question.strip(), answer.strip()


def _image_folder(source: Source, path: Path) -> str:
    """Return the folder of the image of a text file, relative to the media root."""
    folder = path.parent.parent / _IMAGES if path.parent.name == _QUESTIONS else path.parent
    return folder.relative_to(source.root).as_posix()


def _images_without_questions(folder: Path, name: str, stems: set[str]) -> Iterator[Fault]:
    """Yield a fault for each image in a folder without a text file."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.suffix.lower() in _SUFFIXES and path.stem not in stems:
            yield Fault(f"{name}/{path.name}", f"{name}/{path.name}", "no text file has questions on this image")


MME = Suite(
    task=ReaderTask(
        modalities=frozenset({"image"}),
        type=QA,
        scorers={RELEASE: "mme"},
        description="perception and cognition in pairs of yes/no questions (MME)",
        counts={"test": Count(2_374, verified=False)},
        note="the score is the share of all 2,800 points; the figures perception and cognition are in points",
        evaluation_only=True,
    ),
    locate=locate,
    rows=rows,
    marks=("MME_Benchmark_release_version", "commonsense_reasoning", "code_reasoning"),
    citation="Fu et al., MME: A Comprehensive Evaluation Benchmark for Multimodal LLMs, arXiv 2306.13394",
    licence="academic research only",
    origin="MME's repository",
)
