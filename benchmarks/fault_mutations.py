"""Damage of files: bytes, and text that has one thing changed."""

from __future__ import annotations

import json
import random
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 10**30, 0.5, float("nan"), "", "x", "../../victim", "/etc/passwd", "\x1b[31m", "a" * 100_000),
    *([], [[]], {}, {"a": {}}, [None], ["x", 1]),
)


def damage_bytes(path: Path, rng: random.Random) -> str:
    """Damage a file, and return how."""
    content = bytearray(path.read_bytes())
    how = rng.choice(("flipped bit", "truncated", "empty", "removed", "zeros"))
    if how == "removed":
        path.unlink()
        return how
    if how == "flipped bit" and content:
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    elif how == "truncated":
        del content[rng.randrange(max(1, len(content))) :]
    elif how == "zeros" and content:
        start = rng.randrange(len(content))
        content[start : start + 64] = bytes(len(content[start : start + 64]))
    else:
        content.clear()
    path.write_bytes(content)
    return how


def mutated(path: Path, rng: random.Random, run_id: str) -> str:
    """Change one thing in a text file or in a row of a run, and return what."""
    if path.suffix == ".db":
        return _mutate_store(path, rng, run_id)
    if rng.random() < 0.2:
        return damage_bytes(path, rng)
    change = {".json": _mutate_json, ".jsonl": _mutate_lines, ".toml": _mutate_toml}[path.suffix]
    text, how = change(path.read_text(), rng)
    path.write_text(text)
    return how


def _mutate_json(text: str, rng: random.Random) -> tuple[str, str]:
    data = json.loads(text)
    how = mutate_data(data, rng)
    return json.dumps(data), how


def _mutate_lines(text: str, rng: random.Random) -> tuple[str, str]:
    lines = text.splitlines()
    index = rng.randrange(len(lines))
    lines[index], how = _mutate_json(lines[index], rng)
    return "\n".join(lines) + "\n", how


def _mutate_toml(text: str, rng: random.Random) -> tuple[str, str]:
    lines = text.splitlines()
    index = rng.choice([number for number, line in enumerate(lines) if line.strip()])
    key = lines[index].partition("=")[0].strip()
    changes: list[tuple[str, Callable[[], str]]] = [
        ("removed", lambda: ""),
        ("doubled", lambda: f"{lines[index]}\n{lines[index]}"),
        ("renamed", lambda: f"x{lines[index]}"),
        ("cut", lambda: lines[index][: rng.randrange(len(lines[index]))]),
        ("other value", lambda: f"{key} = {_toml(rng.choice(VALUES))}"),
        ("table", lambda: f"[{re.sub(r'[^a-z]', '', key) or 'x'}]"),
    ]
    how, change = rng.choice(changes)
    line = lines[index]
    lines[index] = change()
    return "\n".join(lines) + "\n", f"{how}: {line[:40]}"


def _toml(value: Any) -> str:
    return "nan" if value != value else json.dumps(value).replace("null", '"null"')


def mutate_data(data: Any, rng: random.Random) -> str:
    """Change one value somewhere in JSON data, and return what."""
    places = list(_places(data))
    if not places:
        return "nothing to change"
    owner, key, trail = rng.choice(places)
    if rng.random() < 0.3:
        del owner[key]
        return f"no {trail}"
    owner[key] = value = rng.choice(VALUES)
    return f"{trail} = {str(value)[:30]!r}"


def _places(data: Any, trail: str = "") -> Any:
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in list(items):
        yield data, key, f"{trail}.{key}"
        yield from _places(value, f"{trail}.{key}")


def _mutate_store(path: Path, rng: random.Random, run_id: str) -> str:
    """Change one value of a row of the run."""
    tables = {"runs": "id", "stages": "run", "scores": "run", "predictions": "run", "tasks": None}
    with sqlite3.connect(path) as store:
        store.execute("pragma foreign_keys = off")
        table = rng.choice(list(tables))
        columns = [row[1] for row in store.execute(f"pragma table_info({table})")]
        column, where = rng.choice(columns), f"where {tables[table]} = '{run_id}'" if tables[table] else ""
        value = rng.choice(VALUES)
        (old,) = store.execute(f"select {column} from {table} {where} limit 1").fetchone()
        if isinstance(old, str) and old[:1] in "[{" and old and rng.random() < 0.7:
            data = json.loads(old)
            how = mutate_data(data, rng)
            value = json.dumps(data)
        else:
            how = str(value)[:30]
            value = str(value) if isinstance(value, (list, dict)) or value == 10**30 else value
        try:
            store.execute(f"update {table} set {column} = ? {where}", (value,))
        except sqlite3.IntegrityError:
            return f"{table}.{column} refused by the store"
    return f"{table}.{column} = {how}"
