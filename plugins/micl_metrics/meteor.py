"""METEOR, computed by the Java program of published captioning evaluations."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import IO, ClassVar

from micl_cli.api import Metric, PlanError, Resources, Score
from micl_metrics.ptb import tokenise
from micl_metrics.words import paired

JAR = Path("meteor") / "meteor-1.5.jar"
INSTALL = "Install Java (on Debian: default-jre-headless) and the extra: pip install 'micl-cli[meteor]'."
OTHERWISE = "Or choose another metric: caption_mean6 is the mean of the captioning metrics without METEOR."


class Meteor(Metric):
    """METEOR 1.5 (Denkowski and Lavie 2014) for English in 0..1, by its authors' Java program.

    Words are aligned with the best reference by form, stem, synonym and paraphrase. The score is computed from counts
    that are summed over the set, as pycocoevalcap does; ``Score.each`` holds the METEOR of single examples. Requires
    Java and the package pycocoevalcap, which contains the program; it takes some seconds and 2 GB of memory for each
    score. Deviation: the words are those of :func:`micl_metrics.ptb.tokenise`.
    """

    name: ClassVar[str] = "meteor"

    def setup(self, resources: Resources) -> None:
        """Raise PlanError unless the program can be run."""
        command()

    def score(self, answers: Sequence[str], references: Sequence[Sequence[str]]) -> Score:
        """Score captions. Raises ValueError on unequal lengths or a missing reference, PlanError without Java."""
        pairs = [(_words(answer), list(map(_words, texts))) for answer, texts in paired(answers, references)]
        if not pairs:
            return Score(0.0, ())
        *each, value = _values([" ||| ".join(("SCORE", *texts, answer)) for answer, texts in pairs])
        return Score(value, tuple(each))

    def informative(self, references: Sequence[Sequence[str]]) -> bool:
        """Return whether a reference has words, without running the program."""
        return has_words(references)


def has_words(references: Sequence[Sequence[str]]) -> bool:
    """Return whether a reference has words."""
    return any(tokenise(text) for texts in references for text in texts)


def command() -> list[str]:
    """Return the command line of the program. Raises PlanError if Java or the program is missing."""
    java = shutil.which("java")
    if not java:
        raise PlanError("METEOR needs Java, and there is no program java", f"{INSTALL} {OTHERWISE}")
    package = find_spec("pycocoevalcap")
    for folder in (package and package.submodule_search_locations) or ():
        if (jar := Path(folder) / JAR).is_file():
            return [java, "-Xmx2G", "-Dfile.encoding=UTF-8", "-jar", str(jar), "-", "-", "-stdio", "-l", "en", "-norm"]
    raise PlanError(
        f"METEOR needs {JAR.name} of the package pycocoevalcap, which is not installed", f"{INSTALL} {OTHERWISE}"
    )


def _words(text: str) -> str:
    return " ".join(tokenise(text))


def _values(lines: Sequence[str]) -> list[float]:
    """Return the score of each line, then that of all lines together. Raises PlanError if the program fails."""
    try:
        with _program() as (requests, replies):
            statistics = [_ask(requests, replies, line) for line in lines]
            values = [float(_ask(requests, replies, " ||| ".join(("EVAL", *statistics))))]
            return values + [float(replies.readline()) for _ in lines]
    except (OSError, ValueError) as error:
        message = "METEOR's Java program ended without a score"
        raise PlanError(message, f"Check that java works and that it can have 2 GB of memory. {OTHERWISE}") from error


def _ask(requests: IO[str], replies: IO[str], line: str) -> str:
    requests.write(f"{line}\n")
    requests.flush()
    if reply := replies.readline().strip():
        return reply
    raise ValueError("no reply")


@contextmanager
def _program() -> Iterator[tuple[IO[str], IO[str]]]:
    """Run the program with its input and output as text; end it afterwards."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command(), stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True, encoding="utf-8"
    ) as process:
        assert process.stdin and process.stdout
        try:
            yield process.stdin, process.stdout
        finally:
            process.kill()
