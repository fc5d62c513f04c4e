"""Checks of an installation: versions, hardware, disk, store, plugins and tasks, each with a hint for a repair."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from micl_cli import __version__
from micl_cli.errors import MiclError
from micl_cli.registry import FAILURES, Registry, error_line

if TYPE_CHECKING:
    from micl_cli.settings import Settings

State = Literal["ok", "warning", "problem"]

DISTRIBUTION = "micl-cli"
_SHOWN = ("torch", "transformers", "peft", "accelerate", "bitsandbytes", "numpy")
_LOW, _VERY_LOW = 10e9, 1e9
"""Bytes of free space below which there is a warning, and a problem."""
_BUILDS = "https://pytorch.org/get-started/locally"


@dataclass(frozen=True)
class Finding:
    """The result of a check. ``hint`` says how to fix it; it is empty if there is nothing to fix."""

    check: str
    state: State
    text: str
    hint: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return JSON-ready fields."""
        return asdict(self)


def examine(settings: Settings) -> Iterator[Finding]:
    """Yield the findings of all checks. A check that fails unexpectedly is a problem itself."""
    checks: dict[str, Callable[[], Iterator[Finding]]] = {
        "python": python,
        "libraries": libraries,
        "torchvision": torchvision,
        "gpu": gpu,
        "bfloat16": bfloat16,
        "4-bit": four_bit,
        "disk": lambda: disk(settings),
        "store": lambda: store(settings),
        "tasks": lambda: tasks(settings),
        "plugins": lambda: plugins(Registry.discover()),
    }
    for name, check in checks.items():
        try:
            yield from check()
        except MiclError as error:
            yield Finding(name, "problem", error.message, error.hint)
        except FAILURES as error:
            yield Finding(
                name, "problem", f"the check failed: {error_line(error)}", "Run micl --debug doctor, and report it."
            )


def python() -> Iterator[Finding]:
    """Check the version of Python."""
    from packaging.specifiers import SpecifierSet

    version = platform.python_version()
    text = f"micl {__version__}, Python {version}, {platform.system()} {platform.machine()}"
    supported = _requires_python()
    if SpecifierSet(supported).contains(version, prereleases=True):
        yield Finding("python", "ok", text)
    else:
        hint = "Install micl into an environment with a supported version of Python."
        yield Finding("python", "problem", f"{text}; micl supports Python {supported}", hint)


def _requires_python() -> str:
    try:
        return metadata.metadata(DISTRIBUTION)["Requires-Python"] or ""
    except metadata.PackageNotFoundError:
        return ""


def libraries() -> Iterator[Finding]:
    """Check that the libraries that micl requires are installed in versions that it supports."""
    from packaging.requirements import Requirement

    try:
        texts = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        yield Finding("libraries", "warning", "micl is not installed, so its requirements are unknown", "pip install .")
        return
    required = [requirement for requirement in map(Requirement, texts) if _applies(requirement)]
    versions = {requirement.name: _version(requirement.name) for requirement in required}
    unfit = [each for each in required if not each.specifier.contains(versions[each.name], prereleases=True)]
    for each in unfit:
        found = f"{each.name} {versions[each.name]}" if versions[each.name] else f"{each.name} is not installed"
        text = f"{found}; micl needs {each.name} {each.specifier}".strip()
        yield Finding("libraries", "problem", text, f'pip install "{each.name}{each.specifier}"')
    if not unfit:
        yield Finding("libraries", "ok", ", ".join(f"{name} {versions[name]}" for name in _SHOWN if versions.get(name)))


def _applies(requirement: Any) -> bool:
    return requirement.marker is None or bool(requirement.marker.evaluate({"extra": ""}))


def _version(distribution: str) -> str:
    """Return the version of a distribution, or an empty text, which fits no requirement."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def torchvision() -> Iterator[Finding]:
    """Check that torchvision, if it is installed, fits torch: otherwise transformers cannot load any model."""
    if find_spec("torchvision") is None:
        text = "not installed; checkpoints whose processor also reads videos (Qwen-VL, Qwen-Omni) cannot be used"
        yield Finding("torchvision", "ok", text, f"If you need them, install the build that fits torch: {_BUILDS}")
        return
    try:
        module = import_module("torchvision")
    except FAILURES as error:
        text = f"torchvision {_version('torchvision')} does not fit torch {_version('torch')}: {error_line(error)}"
        hint = f"Install the build that fits torch ({_BUILDS}), or remove it: pip uninstall torchvision"
        yield Finding("torchvision", "problem", text, hint)
    else:
        yield Finding("torchvision", "ok", f"torchvision {module.__version__}")


def gpu() -> Iterator[Finding]:
    """Check whether torch can use a GPU."""
    import torch

    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            free, total = torch.cuda.mem_get_info(number)
            name = torch.cuda.get_device_name(number)
            yield Finding(
                "gpu", "ok", f"{name}, {free / 1e9:.1f} of {total / 1e9:.1f} GB free, CUDA {torch.version.cuda}"
            )
    elif shutil.which("nvidia-smi") or Path("/dev/nvidia0").exists():
        why = "this build of torch is for CPUs" if torch.version.cuda is None else "torch cannot use its driver"
        hint = f"Install the torch build that fits the GPU and its driver: {_BUILDS}"
        yield Finding("gpu", "warning", f"there is an NVIDIA GPU, but {why} (torch {torch.__version__})", hint)
    else:
        threads = torch.get_num_threads()
        yield Finding("gpu", "ok", f"none; models run on the CPU ({threads} thread{'s' * (threads > 1)})")


def bfloat16() -> Iterator[Finding]:
    """Check whether the hardware computes in bfloat16."""
    import torch

    if torch.cuda.is_available():
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    text = "native" if native else "not native; float32 is used unless bf16 is asked for, which is slow here"
    yield Finding("bfloat16", "ok", text)


def four_bit() -> Iterator[Finding]:
    """Check that 4-bit weights (QLoRA) work, on a small layer."""
    import torch

    if find_spec("bitsandbytes") is None:
        text = "bitsandbytes is not installed, so --quantize cannot be used"
        yield Finding("4-bit", "warning", text, "Install it: pip install bitsandbytes")
        return
    try:
        error = _four_bit_error("cuda" if torch.cuda.is_available() else "cpu")
    except FAILURES as failure:
        hint = "Install a version of bitsandbytes for this GPU or CPU: https://huggingface.co/docs/bitsandbytes/installation"
        yield Finding("4-bit", "warning", f"4-bit weights cannot be used: {error_line(failure)}", hint)
        return
    if error < 1e-3:
        yield Finding("4-bit", "ok", f"works (bitsandbytes {_version('bitsandbytes')})")
    else:
        text = f"a 4-bit layer is wrong by {error:.2g} with bitsandbytes {_version('bitsandbytes')}"
        yield Finding("4-bit", "problem", text, "Do not use --quantize; install another version of bitsandbytes.")


def _four_bit_error(device: str) -> float:
    """Return the relative difference between a 4-bit layer and the same layer with its weights dequantised."""
    import torch
    from bitsandbytes.functional import dequantize_4bit
    from bitsandbytes.nn import Linear4bit

    layer = Linear4bit(64, 64, bias=False, compute_dtype=torch.float32, quant_type="nf4").to(device)
    inputs = torch.linspace(-1, 1, 128, device=device).reshape(2, 64)
    with torch.no_grad():
        expected = inputs @ dequantize_4bit(layer.weight.data, layer.weight.quant_state).float().T
        return float((layer(inputs) - expected).norm() / expected.norm())


def disk(settings: Settings) -> Iterator[Finding]:
    """Check that the home folder can be written, and the free space of its disk."""
    from micl_cli.session.leftovers import leftovers

    home = settings.home
    existing = next(path for path in (home, *home.parents) if path.exists())
    if not os.access(existing, os.W_OK):
        hint = "Make it writable, or set MICL_HOME to another folder."
        yield Finding("disk", "problem", f"the home folder {home} cannot be written", hint)
    free = shutil.disk_usage(existing).free
    state: State = "problem" if free < _VERY_LOW else "warning" if free < _LOW else "ok"
    hint = "Free some space (micl cache rm --all, micl runs rm RUN), or set MICL_HOME to another disk."
    yield Finding("disk", state, f"{free / 1e9:.1f} GB free in {home}", "" if state == "ok" else hint)
    if left := leftovers(settings):
        size = sum(each.bytes for each in left) / 1e6
        text = f"{len(left)} half-written files of killed processes, {size:.1f} MB"
        yield Finding("disk", "warning", text, "Remove them: micl cache rm --leftovers")


def store(settings: Settings) -> Iterator[Finding]:
    """Check the run store, without changing it."""
    from micl_cli.store import check

    found = check(settings.store_url)
    text = f"{found.location}: {found.state}, {found.runs} run{'s' * (found.runs != 1)}"
    if found.state == "damaged":
        yield Finding("store", "problem", text, "List the damage, and how to repair it: micl store check")
    elif found.state == "newer":
        hint = "Upgrade micl (pip install --upgrade micl-cli), or set MICL_HOME to another folder."
        yield Finding("store", "problem", text, hint)
    elif found.state == "outdated":
        yield Finding(
            "store", "warning", text, "It is upgraded on its next use, a server store by `micl store upgrade`."
        )
    else:
        yield Finding("store", "ok", f"{found.location}: no runs yet" if found.state == "missing" else text)


def tasks(settings: Settings) -> Iterator[Finding]:
    """Check that the descriptions and records of prepared tasks can be read."""
    from micl_cli.data.description import DESCRIPTION, read_description
    from micl_cli.data.prepared import prepared_tasks, task_folder
    from micl_cli.data.record import read_record

    names = list(prepared_tasks(settings.home))
    damaged = False
    for name in names:
        folder = task_folder(name, settings.home)
        try:
            read_description(folder / DESCRIPTION)
            read_record(folder)
        except MiclError as error:
            damaged = True
            hint = f"Prepare it again: micl prepare {name}, or remove it: micl tasks rm {name}"
            yield Finding("tasks", "problem", f"{name} is damaged: {error.message}", hint)
    if not damaged:
        yield Finding("tasks", "ok", f"{len(names)} prepared")


def plugins(registry: Registry) -> Iterator[Finding]:
    """Check that all plugins can be imported, and that their names are unambiguous."""
    failing = False
    for part in registry.parts():
        finding = None
        if part.state == "ambiguous":
            text = (
                f"{part.kind} {part.name!r} is registered by several distributions, one of which is {part.distribution}"
            )
            finding = Finding("plugins", "warning", text, f"Use the name {part.qualified}.")
        elif problem := part.error or _import_problem(registry, part.kind, part.name):
            hint = f"Upgrade it (pip install -U {part.distribution}) or remove it (pip uninstall {part.distribution})."
            finding = Finding("plugins", "problem", problem, hint)
        if finding:
            failing = True
            yield finding
    if not failing:
        distributions = sorted({part.distribution for part in registry.parts()})
        yield Finding("plugins", "ok", f"{len(registry.parts())}, from {', '.join(distributions)}")


def _import_problem(registry: Registry, kind: str, name: str) -> str:
    """Return why a part cannot be imported, or an empty text."""
    if kind == "plugin":
        return ""
    try:
        registry.load(kind, name)
    except MiclError as error:
        return error.message
    return ""
