"""``micl cache``: list and remove cached encoder features."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timezone

import click

from micl_cli.cli.console import echo, echo_json, note, table
from micl_cli.cli.context import current_settings
from micl_cli.cli.groups import DefaultGroup
from micl_cli.errors import MiclError, UsageError, nearest


@click.group(cls=DefaultGroup)
def cache() -> None:
    """List or remove cached features of frozen encoders. The default command is ls.

    The cache is shared by all runs, which may use it at the same time. MICL_CACHE_LIMIT, or cache_limit in micl.toml,
    limits its size (default 20GB; 0 disables it); the least recently used features are removed first.

    \b
    Examples:
      micl cache
      micl cache rm --all
      MICL_CACHE_LIMIT=2GB micl learn --strategy finetune --tasks img_cap,aud_qa
    """


@cache.command("ls")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def list_(as_json: bool) -> None:
    """List encoders with the number and size of their files and the time of their last use.

    \b
    Example: micl cache ls --json | jq .bytes
    """
    from micl_cli.session.leftovers import leftovers
    from micl_cli.training.feature_cache import stored_features

    settings = current_settings()
    left = leftovers(settings)
    encoders = stored_features(settings.features)
    total = sum(each.bytes for each in encoders)
    if as_json:
        found = {"leftovers": [str(each.path) for each in left], "leftover_bytes": sum(each.bytes for each in left)}
        encoders_json = [asdict(each) for each in encoders]
        echo_json({"bytes": total, "limit": settings.cache_limit, "encoders": encoders_json, **found})
        return
    rows = [[each.key, each.shards, _size(each.bytes), _time(each.used)] for each in encoders]
    echo(table(["encoder", "files", "size", "last used"], rows))
    note(f"{_size(total)} of at most {_size(settings.cache_limit)} (from {settings.sources['cache_limit']})")
    if left:
        count = f"{len(left)} leftovers of killed processes, {_size(sum(each.bytes for each in left))}"
        note(f"{count}; remove them: micl cache rm --leftovers")


@cache.command()
@click.argument("keys", nargs=-1, metavar="ENCODER...")
@click.option("--all", "every", is_flag=True, help="Remove the features of all encoders, and leftovers.")
@click.option("--leftovers", "left", is_flag=True, help="Remove half-written files of killed processes from the home.")
def rm(keys: tuple[str, ...], every: bool, left: bool) -> None:
    """Remove cached features of encoders. Runs that need them compute them again.

    ENCODER is a name from `micl cache`, or a prefix of one. Files that cannot be removed are named (exit code 1).

    \b
    Examples:
      micl cache rm image-3f2a
      micl cache rm --leftovers
    """
    from micl_cli.io.removal import listing
    from micl_cli.session.leftovers import leftovers, remove_leftovers
    from micl_cli.training.feature_cache import remove_features, stored_features

    settings = current_settings()
    folder = settings.features
    known = {each.key: each for each in stored_features(folder)}
    if not (keys or every or left):
        raise UsageError("no encoder is named", "Name encoders from `micl cache`, or use --all or --leftovers.")
    chosen = set(known) if every else {key for word in keys for key in _matching(word, list(known))}
    remaining = [each for key in sorted(chosen) for each in remove_features(folder, key)]
    if chosen or not left:
        present = {each.key: each.bytes for each in stored_features(folder)}
        freed = sum(known[key].bytes - present.get(key, 0) for key in chosen)
        note(f"removed {_size(freed)} of {len(chosen)} encoders")
    if every or left:
        count = len(leftovers(settings))
        remaining += remove_leftovers(settings)
        note(f"removed {count - len(leftovers(settings))} leftovers of killed processes")
    if remaining:
        raise MiclError(
            listing(remaining), "Make these files and their folders writable, then use the same command again."
        )


def _matching(word: str, known: list[str]) -> list[str]:
    matches = [key for key in known if word and key.startswith(word)]
    if not matches:
        raise UsageError(
            f"no encoder {word!r} in the cache", f"{nearest(word, known)} `micl cache` lists them.".strip()
        )
    return matches


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M")
