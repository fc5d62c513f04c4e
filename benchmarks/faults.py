"""Kill, fill up, damage and mutate: what micl does when something goes wrong at a bad moment.

    python benchmarks/faults.py kills --count 40         # killed at random moments, then resumed: equal row by row
    python benchmarks/faults.py full-disk --count 12     # the disk fills up at random moments (needs root: a tmpfs)
    python benchmarks/faults.py damage --count 60        # one kept file is damaged; eval must notice, learn must repair
    python benchmarks/faults.py mutations --count 1000   # own and user files with one thing changed
    python benchmarks/faults.py processes --seconds 180  # eight processes learn into one store
    python benchmarks/faults.py digests                  # share of a run that is spent on digests

Each line of the output is one fault that was not handled; the exit code is 1 if there is any. All is drawn from --seed.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import click
from fault_bench import STRATEGIES, Bench
from fault_load import digests, processes
from fault_mutations import damage_bytes, mutated
from fault_tools import (
    LEARN,
    Fault,
    copied,
    kill_at,
    make_task,
    run,
    scores_of,
)

TINY = Path(__file__).parent.parent / "plugins" / "micl_backbones" / "presets" / "tiny"
USER_FILES = {
    "micl.toml": 'cache_limit = "1GB"\n\n[learn]\nstrategy = "moincl"\nepochs = 2\noptions = { alpha = 0.5 }\n',
    "recipe.toml": 'strategy = "moincl"\ntasks = "faults/img_cap"\n[options]\nalpha = 0.5\n[training]\nepochs = 2\n',
}


# Kills


def kills(bench: Bench, count: int) -> None:
    """Kill a learning process at a random moment, resume it, and compare it with an undisturbed run."""
    for number in range(count):
        strategy = STRATEGIES[number % len(STRATEGIES)]
        moment = bench.rng.randint(1, bench.reference(strategy)[2].moments)
        home, what = copied(bench.prepared, bench.folder / "killed" / "home"), f"{strategy[1]} killed at {moment}"
        killed = run([*LEARN, *strategy], home, kill_at(moment))
        if killed.code != -9:
            bench.fault(f"{what}: was not killed: {killed.err[-200:]}")
        resumed = run([*LEARN, *strategy], home)
        bench.check_foreseen(what, resumed)
        if resumed.code:
            bench.fault(f"{what}: cannot be resumed: {resumed.err[-300:]}")
        else:
            bench.check_equal(what, home, strategy)


# A full disk


def full_disk(bench: Bench, count: int) -> None:
    """Fill the disk at a random moment, free it again, and go on."""
    for number in range(count):
        strategy = STRATEGIES[number % len(STRATEGIES)]
        moment = bench.rng.randint(1, bench.reference(strategy)[2].moments)
        what = f"{strategy[1]} with a full disk at {moment}"
        with _small_disk(bench.folder / "disk") as disk:
            home = copied(bench.prepared, disk / "home")
            outcome = run([*LEARN, *strategy], home, _fill_at(moment, disk / "filler"))
            bench.check_foreseen(what, outcome)
            if outcome.code == 0 and not _has_room(disk):
                bench.check_equal(f"{what}, finished", home, strategy)
            (disk / "filler").unlink(missing_ok=True)
            resumed = run([*LEARN, *strategy], home)
            if resumed.code:
                bench.fault(f"{what}: cannot be resumed: {resumed.err[-300:]}")
            else:
                bench.check_equal(what, home, strategy)


@contextmanager
def _small_disk(folder: Path) -> Iterator[Path]:
    folder.mkdir(exist_ok=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        raise click.ClickException(f"cannot mount a tmpfs: {mounted.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def _fill_at(moment: int, filler: Path) -> Fault:
    def fault(number: int) -> None:
        if number == moment:
            with suppress(OSError), filler.open("wb") as file:
                while True:
                    file.write(bytes(4096))
                    file.flush()

    return fault


def _has_room(folder: Path) -> bool:
    return shutil.disk_usage(folder).free > 0


# Damaged files


def damage(bench: Bench, count: int) -> None:
    """Damage one file of a finished run: eval must notice or not need it, learn must repair it."""
    for number in range(count):
        strategy = STRATEGIES[number % len(STRATEGIES)]
        reference, run_id, _ = bench.reference(strategy)
        home = copied(reference, bench.folder / "damaged" / "home")
        files = [*(home / "runs" / run_id).glob("*/**/*.*"), *(home / "features").rglob("*.safetensors")]
        path = bench.rng.choice(sorted(path for path in files if path.is_file()))
        how = damage_bytes(path, bench.rng)
        what = f"{strategy[1]}: {path.relative_to(home)} {how}"
        scored = run(["eval", run_id, "--json"], home)
        bench.check_foreseen(f"{what}, eval", scored)
        if scored.code == 0 and scores_of(scored) != _reference_scores(bench, strategy):
            bench.fault(f"{what}: eval gives other scores without a word")
        bench.check_foreseen(f"{what}, learn", learnt := run([*LEARN, *strategy], home))
        if learnt.code:
            bench.fault(f"{what}: learn does not repair it: {learnt.err[-300:]}")
        else:
            bench.check_equal(f"{what}, repaired", home, strategy)


_SCORES: dict[tuple[str, ...], list[tuple[str, Any]]] = {}


def _reference_scores(bench: Bench, strategy: tuple[str, ...]) -> list[tuple[str, Any]]:
    if strategy not in _SCORES:
        reference, run_id, _ = bench.reference(strategy)
        home = copied(reference, bench.folder / "scored" / "home")
        _SCORES[strategy] = scores_of(run(["eval", run_id, "--json"], home))
    return _SCORES[strategy]


# Mutations of text


def mutations(bench: Bench, count: int) -> None:
    """Change one thing in an own or a user's file, and run the commands that read it."""
    strategy = STRATEGIES[0]
    reference, run_id, _ = bench.reference(strategy)
    home, sources = bench.folder / "mutated" / "home", bench.folder / "mutated" / "sources"
    learn, targets = [*LEARN, *strategy], _targets(bench.folder / "user", home, sources, run_id)
    copied(reference, home)
    make_task(sources / "user_cap", "user_cap", "image")
    codes: Counter[tuple[str, str, int]] = Counter()
    for path, commands in targets:
        for words in commands:
            if words != ["learn"] and (intact := run(words, home, folder=path.parent)).code:
                bench.fault(f"{path.name} as it is: micl {words}: {intact.err}")
    for number in range(count):
        path, commands = targets[number % len(targets)]
        original = path.read_bytes() if path.suffix != ".db" else b""
        how = mutated(path, bench.rng, run_id)
        for words in commands:
            outcome = run(
                learn if words == ["learn"] else words, home, folder=path.parent if path.suffix == ".toml" else None
            )
            what = f"{path.name} with {how}: micl {' '.join(map(str, words[:3]))}"
            bench.check_foreseen(what, outcome)
            codes[path.name, str(words[0]), outcome.code] += 1
            if words == ["learn"]:
                bench.check_equal(what, home, strategy)
        if path.suffix == ".db" or ["learn"] in commands:
            copied(reference, home)
        else:
            path.write_bytes(original)
    for (name, command, code), times in sorted(codes.items()):
        print(f"{name}: micl {command}: exit {code}: {times}")


def _targets(user: Path, home: Path, sources: Path, run_id: str) -> list[tuple[Path, list[list[Any]]]]:
    """Return files with the commands that read them."""
    for name, text in USER_FILES.items():
        (user / name).mkdir(parents=True)
        (user / name / name).write_text(text)
    preset = Path(shutil.copytree(TINY, user / "tiny")) / "preset.toml"
    recipe, micl_toml = user / "recipe.toml" / "recipe.toml", user / "micl.toml" / "micl.toml"
    run_folder, task = home / "runs" / run_id, home / "tasks" / "faults" / "img_cap"
    own: list[list[Any]] = [["eval", run_id], ["learn"]]
    stored: list[list[Any]] = [["runs", "--json"], ["runs", "show", run_id], ["report", run_id]]
    prepared: list[list[Any]] = [["learn", "--dry-run", *LEARN[1:], "--strategy", "moincl"]]
    return [
        (run_folder / "stages" / "01" / "stage.json", own),
        (run_folder / "stages" / "02" / "stage.json", own),
        (run_folder / "scores" / "02.json", [["learn"]]),
        (home / "micl.db", stored),
        (task / "prepared.json", prepared),
        (task / "manifest.jsonl", prepared),
        (task / "task.toml", prepared),
        (sources / "user_cap" / "manifest.jsonl", [["prepare", sources / "user_cap"]]),
        (sources / "user_cap" / "task.toml", [["prepare", sources / "user_cap"]]),
        (micl_toml, [["config"], prepared[0]]),
        (recipe, [["learn", "--recipe", recipe, "--backbone", "toy", "--dry-run"]]),
        (preset, [["learn", "--backbone", f"composed:{preset}", *LEARN[3:], "--strategy", "moincl", "--dry-run"]]),
    ]


SCENARIOS: dict[str, tuple[Callable[..., None], int]] = {
    "kills": (kills, 40),
    "full-disk": (full_disk, 12),
    "damage": (damage, 60),
    "mutations": (mutations, 1000),
}


@click.command()
@click.argument("scenario", type=click.Choice([*SCENARIOS, "processes", "digests"]))
@click.option("--count", type=click.IntRange(1), help="How many faults.")
@click.option("--seconds", default=180.0, help="How long the processes work.")
@click.option("--seed", default=0)
@click.argument("words", nargs=-1)
def main(scenario: str, count: int | None, seconds: float, seed: int, words: tuple[str, ...]) -> None:
    """Run one scenario and report every fault that was not handled."""
    with tempfile.TemporaryDirectory() as folder:
        bench, started = Bench(Path(folder), seed), time.perf_counter()
        if scenario == "processes":
            processes(bench, seconds)
        elif scenario == "digests":
            digests(bench, words)
        else:
            call, default = SCENARIOS[scenario]
            call(bench, count or default)
        done = f" of {count or SCENARIOS[scenario][1]}" if scenario in SCENARIOS else ""
        print(f"{scenario}: {len(bench.faults)}{done} not handled, {time.perf_counter() - started:.0f} s")
        sys.exit(bool(bench.faults))


if __name__ == "__main__":
    main()
