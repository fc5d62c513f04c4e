"""Fixtures: every test has its own home, its own working folder, no colour and a fixed width."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

# Read when torch is imported: idle threads of several processes would slow each other down.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"  # read when huggingface_hub is imported

import pytest
from hypothesis import HealthCheck, settings

from micl_cli.settings import prepare_process

prepare_process()


def offer_torchvision() -> None:
    """Let processors of videos find torchvision where `make setup` put it, apart from what is installed.

    It has no CPU build: its own operators are missing, and it can only be imported once they are declared.
    """
    folder = Path(sys.prefix) / "torchvision"
    if not folder.is_dir() or importlib.util.find_spec("torchvision"):
        return
    import torch

    sys.path.append(str(folder))
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    KEPT.append(library)


KEPT: list[object] = []
offer_torchvision()
# A slow machine must not fail a property test.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


def pytest_configure(config: pytest.Config) -> None:
    """Hide the GPU from all tests but those of `-m gpu`, so that they give the same results on every machine."""
    if "gpu" not in str(config.getoption("markexpr")):
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


@pytest.fixture(autouse=True)
def isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Isolate a test in ``tmp_path`` from the user's settings and files. Returns the home folder."""
    for name in os.environ:
        if name.startswith(("MICL_", "_MICL_", "XDG_")):
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    for name, value in {
        "MICL_HOME": str(home),
        "HOME": str(tmp_path),
        "NO_COLOR": "1",
        "COLUMNS": "100",
        "HF_HUB_OFFLINE": "1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return home


class Outcome(NamedTuple):
    """The exit code and the output of a command."""

    code: int
    out: str
    err: str


Micl = Callable[..., Outcome]


@pytest.fixture
def micl(capsys: pytest.CaptureFixture[str]) -> Micl:
    """Run ``micl`` in this process: ``micl("plugins", "--json")``."""
    from micl_cli.cli.main import run

    def call(*words: object) -> Outcome:
        capsys.readouterr()
        code = run([str(word) for word in words])
        return Outcome(code, *capsys.readouterr())

    return call


Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Put a distribution on the path as an installer does.

    ``install("micl-x", entry_points="[micl]\\nx = x_plugin\\n", files={"x_plugin.py": "..."})``
    """
    before = set(sys.modules)

    def call(
        name: str,
        *,
        entry_points: str = "",
        files: dict[str, str] | None = None,
        version: str = "1.0",
        to: str = "site",
    ) -> Path:
        site = tmp_path / to
        folder = site / f"{name.replace('-', '_')}-{version}.dist-info"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (folder / "entry_points.txt").write_text(entry_points)
        for path, text in (files or {}).items():
            (site / path).parent.mkdir(parents=True, exist_ok=True)
            (site / path).write_text(text)
        monkeypatch.syspath_prepend(str(site))
        importlib.invalidate_caches()
        return site

    yield call
    for module in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[module], "__file__", "")):
            del sys.modules[module]


# Three tasks with real media, and a backbone that learns in milliseconds

TOY_PLUGIN = """
from micl_cli.api import hookimpl

@hookimpl
def micl_register_backbones(register):
    register("toy", "micl_cli.testing:ToyBackbone", "learns in milliseconds")
"""
COUNTS = {"train": 12, "val": 4, "test": 6}
LEARN = (
    *("learn", "--backbone", "toy", "--batch-size", "4", "--max-steps", "4", "--lr", "0.01"),
    *("--max-new-tokens", "6", "--validation-examples", "2", "--eval-examples", "3"),
)


def make_task(folder: Path, name: str, modality: str, type: str) -> Path:
    """Write a task folder with 22 pictures or sounds of three colours or pitches."""
    import json

    words = ("red", "green", "blue") if modality == "image" else ("low", "middle", "high")
    (folder / "media").mkdir(parents=True)
    description = {"name": name, "benchmark": "own", "modality": modality, "type": type}
    description["metric"] = "cider" if type == "captioning" else "accuracy"
    (folder / "task.toml").write_text("".join(f'{key} = "{value}"\n' for key, value in description.items()))
    lines = []
    for number, split in enumerate(split for split, count in COUNTS.items() for _ in range(count)):
        medium = _medium(folder / "media", number, modality)
        word = words[number % 3]
        texts = [f"a {word} thing", f"it is {word}"] if type == "captioning" else [word]
        prompt = f"describe the {modality}." if type == "captioning" else "which one?"
        row = {"id": f"{number}", "split": split, modality: f"media/{medium.name}", "prompt": prompt}
        lines.append(json.dumps({**row, "references": texts}))
    (folder / "manifest.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def _medium(folder: Path, number: int, modality: str) -> Path:
    import numpy as np
    import PIL.Image
    import soundfile

    noise = np.random.default_rng(number)
    if modality == "image":
        pixels = noise.integers(0, 60, (24, 24, 3), np.uint8)
        pixels[:, :, number % 3] += 180
        PIL.Image.fromarray(pixels).save(folder / f"{number}.png")
        return folder / f"{number}.png"
    wave = np.sin(np.arange(2000) * (0.1 + 0.2 * (number % 3))) * 0.5 + noise.normal(0, 0.01, 2000)
    soundfile.write(folder / f"{number}.wav", wave.astype(np.float32), 8000)
    return folder / f"{number}.wav"


@pytest.fixture(scope="session")
def own_folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folders img_cap, aud_qa and img_qa. Copy one before you change it."""
    folder = tmp_path_factory.mktemp("own")
    for name, modality, type in (
        ("img_cap", "image", "captioning"),
        ("aud_qa", "audio", "qa"),
        ("img_qa", "image", "qa"),
    ):
        make_task(folder / name, name, modality, type)
    return folder


@pytest.fixture(scope="session")
def prepared_home(own_folders: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which the three folders are prepared as own/img_cap, own/aud_qa, own/img_qa."""
    from micl_cli.session import Session
    from micl_cli.settings import Settings

    home = tmp_path_factory.mktemp("prepared") / "home"
    session = Session(Settings(home=home, store_url=f"sqlite:///{home / 'micl.db'}"))
    for folder in sorted(own_folders.iterdir()):
        session.tasks.prepare(str(folder))
    return home


@pytest.fixture(scope="session")
def toy_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the path with a distribution that announces the backbone ``toy``."""
    site = tmp_path_factory.mktemp("toy")
    info = site / "micl_toy-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: micl-toy\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[micl]\ntoy = micl_toy_plugin\n")
    (site / "micl_toy_plugin.py").write_text(TOY_PLUGIN)
    return site


@pytest.fixture
def home(isolated: Path, prepared_home: Path, toy_site: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This test's own home with the three tasks prepared, and the backbone ``toy`` installed."""
    import shutil

    shutil.copytree(prepared_home, isolated)
    monkeypatch.syspath_prepend(str(toy_site))
    return isolated


@pytest.fixture
def learn_words() -> Callable[..., list[str]]:
    """Return arguments of ``micl learn`` with ``toy``, by default finetune on own/img_cap,own/aud_qa."""

    def words(*more: object) -> list[str]:
        given = [str(word) for word in more]
        wanted = [] if {"--strategy", "--resume", "--after", "--recipe"} & set(given) else ["--strategy", "finetune"]
        tasks = [] if {"--tasks", "--resume", "--recipe"} & set(given) else ["--tasks", "own/img_cap,own/aud_qa"]
        return [*(["learn"] if "--resume" in given else LEARN), *wanted, *tasks, *given]

    return words


@pytest.fixture
def learn(home: Path, micl: Micl, learn_words: Callable[..., list[str]]) -> Micl:
    """Run ``micl learn`` with the arguments of ``learn_words``, in this process."""
    return lambda *words: micl(*learn_words(*words))


@pytest.fixture(scope="session")
def finished_home(prepared_home: Path, toy_site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The prepared home with one finished run in it: moincl on own/img_cap,own/aud_qa."""
    import shutil

    from micl_cli.cli.main import run

    home = tmp_path_factory.mktemp("finished") / "home"
    shutil.copytree(prepared_home, home)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(toy_site))
        patch.setenv("MICL_HOME", str(home))
        patch.chdir(home.parent)
        assert run([*LEARN, "--quiet", "--strategy", "moincl", "--tasks", "own/img_cap,own/aud_qa"]) == 0
    return home


@pytest.fixture
def finished(isolated: Path, finished_home: Path, toy_site: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The id of a finished run in this test's own home (see ``finished_home``)."""
    import shutil

    shutil.copytree(finished_home, isolated)
    monkeypatch.syspath_prepend(str(toy_site))
    return next((isolated / "runs").iterdir()).name


@pytest.fixture
def little_mini(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Let mini's tasks have a few examples only, so that they are prepared at once; returns the counts."""
    counts = {"train": 16, "val": 4, "test": 8}
    monkeypatch.setattr("micl_tasks.mini.tasks.COUNTS", counts)
    monkeypatch.setattr("micl_tasks.mini.tasks.QUESTIONS", dict.fromkeys(counts, 1))
    return counts


OnPath = Callable[..., None]


@pytest.fixture
def on_path(monkeypatch: pytest.MonkeyPatch) -> OnPath:
    """Put folders on the import path of the processes that a test starts, before what is there."""
    former = os.environ.get("PYTHONPATH", "")

    def call(*folders: Path) -> None:
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [*map(str, folders), former])))

    return call


Listen = Callable[[str], Path]


@pytest.fixture
def listener(install: Install) -> Listen:
    """Install a plugin ``ear`` with hooks; its source may use ``hookimpl``, ``os`` and ``signal``."""

    def call(source: str) -> Path:
        head = "import os, signal\nfrom micl_cli.api import hookimpl\n\n"
        return install("micl-ear", entry_points="[micl]\near = ear_plugin\n", files={"ear_plugin.py": head + source})

    return call


class DataFolder:
    """A folder for the files of a data set."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, name: str, content: object) -> Path:
        """Write text, bytes, or a value as JSON (as lines, if the name says so)."""
        import json

        (path := self.root / name).parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, list) and name.endswith(".jsonl"):
            content = "".join(json.dumps(each) + "\n" for each in content)
        data = content if isinstance(content, str | bytes) else json.dumps(content)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return path

    def pictures(self, *names: str) -> None:
        """Write a different small picture under each name."""
        import io

        import PIL.Image

        for number, name in enumerate(names):
            stream = io.BytesIO()
            PIL.Image.new("RGB", (8, 8), (number * 20 % 256, 99, 7)).save(stream, "PNG")
            self.write(name, stream.getvalue())


@pytest.fixture
def data_folder(tmp_path: Path) -> DataFolder:
    """This test's own folder for a data set."""
    return DataFolder(tmp_path / "data")
