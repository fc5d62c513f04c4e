"""``micl cache``: what frozen encoders made of media, kept so that it is computed once."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timezone

import click

from micl_cli.cli.console import echo, echo_json, note, table
from micl_cli.cli.groups import DefaultGroup
from micl_cli.errors import UsageError, nearest
from micl_cli.settings import load_settings


@click.group(cls=DefaultGroup)
def cache() -> None:
    """List or remove what encoders made of media. Without a command: list.

    It is shared by all runs, and safe while several fill it. MICL_CACHE_LIMIT, or cache_limit in
    micl.toml, bounds it (20GB where nothing is set; 0 keeps nothing): what was not used for longest
    goes first.

    \b
    Examples:
      micl cache
      micl cache rm --all
      MICL_CACHE_LIMIT=2GB micl learn --strategy finetune --tasks img_cap,aud_qa
    """


@cache.command("ls")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def list_(as_json: bool) -> None:
    """List encoders: files, bytes, when a run last used them; the limit stands below.

    \b
    Example: micl cache ls --json | jq .bytes
    """
    from micl_cli.training.feature_cache import kept

    settings = load_settings()
    found = kept(settings.features)
    total = sum(each.bytes for each in found)
    if as_json:
        echo_json({"bytes": total, "limit": settings.cache_limit, "encoders": [asdict(each) for each in found]})
        return
    rows = [[each.key, each.shards, _size(each.bytes), _time(each.used)] for each in found]
    echo(table(["encoder", "files", "size", "last used"], rows))
    note(f"{_size(total)} of at most {_size(settings.cache_limit)} (from {settings.sources['cache_limit']})")


@cache.command()
@click.argument("keys", nargs=-1, metavar="ENCODER...")
@click.option("--all", "every", is_flag=True, help="All of them.")
def rm(keys: tuple[str, ...], every: bool) -> None:
    """Remove what is kept of encoders; runs that need it compute it again.

    ENCODER is a name of `micl cache`, or the beginning of one.

    \b
    Example: micl cache rm image-3f2a
    """
    from micl_cli.training.feature_cache import forget, kept

    folder = load_settings().features
    known = {each.key: each for each in kept(folder)}
    if not keys and not every:
        raise UsageError("no encoder is named", "Name some of `micl cache`, or all: micl cache rm --all")
    chosen = set(known) if every else {key for word in keys for key in _meant(word, list(known))}
    for key in sorted(chosen):
        forget(folder, key)
    note(f"removed {_size(sum(known[key].bytes for key in chosen))} of {len(chosen)} encoders")


def _meant(word: str, known: list[str]) -> list[str]:
    found = [key for key in known if word and key.startswith(word)]
    if not found:
        raise UsageError(
            f"no encoder {word!r} in the cache", f"{nearest(word, known)} `micl cache` lists them.".strip()
        )
    return found


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M")
