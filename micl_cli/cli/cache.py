"""``micl cache``: list and remove cached encoder features."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timezone

import click

from micl_cli.cli.console import echo, echo_json, note, table
from micl_cli.cli.context import current_settings
from micl_cli.cli.groups import DefaultGroup
from micl_cli.errors import UsageError, nearest


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
    from micl_cli.training.feature_cache import stored_features

    settings = current_settings()
    encoders = stored_features(settings.features)
    total = sum(each.bytes for each in encoders)
    if as_json:
        echo_json({"bytes": total, "limit": settings.cache_limit, "encoders": [asdict(each) for each in encoders]})
        return
    rows = [[each.key, each.shards, _size(each.bytes), _time(each.used)] for each in encoders]
    echo(table(["encoder", "files", "size", "last used"], rows))
    note(f"{_size(total)} of at most {_size(settings.cache_limit)} (from {settings.sources['cache_limit']})")


@cache.command()
@click.argument("keys", nargs=-1, metavar="ENCODER...")
@click.option("--all", "every", is_flag=True, help="Remove the features of all encoders.")
def rm(keys: tuple[str, ...], every: bool) -> None:
    """Remove cached features of encoders. Runs that need them compute them again.

    ENCODER is a name from `micl cache`, or a prefix of one.

    \b
    Example: micl cache rm image-3f2a
    """
    from micl_cli.training.feature_cache import remove_features, stored_features

    folder = current_settings().features
    known = {each.key: each for each in stored_features(folder)}
    if not keys and not every:
        raise UsageError("no encoder is named", "Name encoders from `micl cache`, or use --all.")
    chosen = set(known) if every else {key for word in keys for key in _matching(word, list(known))}
    for key in sorted(chosen):
        remove_features(folder, key)
    note(f"removed {_size(sum(known[key].bytes for key in chosen))} of {len(chosen)} encoders")


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
