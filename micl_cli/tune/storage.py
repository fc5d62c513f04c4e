"""The storage of studies: optuna's tables, in a file beside the run store or on a server.

Each strategy of a study is a study of optuna, ``STUDY/STRATEGY``. Only trials that have ended become trials of optuna,
in the order of their numbers; open ones are an attribute of its study, so that a killed process leaves no trial half
written. Tools for optuna, such as its dashboard, can read the storage.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, cast

from micl_cli.data.typed_json import from_json
from micl_cli.errors import StoreError, UsageError, nearest
from micl_cli.io.json_text import finite
from micl_cli.redaction import redact
from micl_cli.settings import Settings, file_url
from micl_cli.tune.records import StudyRecord, StudyState, TrialRecord

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import RDBStorage

FILE = "tune.db"
_RECORD, _OPEN = "micl", "micl_open"
"""The attributes of a study and of its trials, and of the trials that are open."""
_REPEAT = "Restore a backup, or move it away and repeat the `micl tune` commands: finished runs are not learnt again."
_LOCK_SECONDS = 30.0


class TuneStorage:
    """The studies of one database. All methods raise StoreError if the database fails or a record is damaged."""

    def __init__(self, storage: RDBStorage, where: str) -> None:
        self._storage, self.where = storage, where

    @classmethod
    def open(cls, settings: Settings, url: str = "") -> TuneStorage:
        """Open the storage at a SQLAlchemy URL, by default the file in the home folder, created if it is missing."""
        import optuna

        from micl_cli.store.connect import make_folder, parse_url, shown

        parsed = parse_url(url or file_url(settings.home / FILE))
        make_folder(parsed)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sqlite = parsed.get_backend_name() == "sqlite"
        arguments: dict[str, Any] = {"connect_args": {"timeout": _LOCK_SECONDS}} if sqlite else {"pool_pre_ping": True}
        with _reported(shown(parsed)):
            text = parsed.render_as_string(hide_password=False)
            return cls(optuna.storages.RDBStorage(text, engine_kwargs=arguments), shown(parsed))

    @classmethod
    def open_existing(cls, settings: Settings, url: str = "") -> TuneStorage | None:
        """Open the storage, or return None if its file does not exist."""
        from micl_cli.store import exists

        return cls.open(settings, url) if exists(url or file_url(settings.home / FILE)) else None

    def names(self) -> list[str]:
        """Return the names of the studies, sorted."""
        import optuna

        with _reported(self.where):
            names = optuna.get_all_study_names(self._storage)
        return sorted({name.partition("/")[0] for name in names if "/" in name})

    def states(self, name: str) -> list[StudyState]:
        """Return a study for each of its strategies. Raises UsageError if there is no such study."""
        if found := self.existing_states(name):
            return found
        hint = nearest(name, self.names()) or "`micl tune ls` lists the studies."
        raise UsageError(f"no study {name!r} in {self.where}", hint)

    def existing_states(self, name: str) -> list[StudyState]:
        """Return a study for each of its strategies, none if there is no such study."""
        import optuna

        with _reported(self.where):
            known = optuna.get_all_study_names(self._storage)
        states = [self._state(each) for each in sorted(known) if each.startswith(f"{name}/")]
        return [state for state in states if state]

    def create(self, record: StudyRecord) -> StudyState:
        """Create a study for one strategy, and return it without trials."""
        import optuna

        with _reported(self.where):
            study = optuna.create_study(
                storage=self._storage, study_name=_key(record), direction="maximize", load_if_exists=True
            )
            study.set_user_attr(_RECORD, finite(asdict(record)))
        return StudyState(study=record)

    def write_open(self, record: StudyRecord, trials: Sequence[TrialRecord]) -> None:
        """Replace the stored open trials."""
        with _reported(self.where):
            self._study(_key(record)).set_user_attr(_OPEN, [finite(asdict(trial)) for trial in trials])

    def add_trial(self, record: StudyRecord, trial: TrialRecord) -> None:
        """Write a trial that has ended."""
        from optuna.trial import TrialState, create_trial

        inside = [dimension for dimension in record.space if dimension.contains(trial.values[dimension.name])]
        finished = trial.value is not None
        with _reported(self.where):
            self._study(_key(record)).add_trial(
                create_trial(
                    state=TrialState.COMPLETE if finished else TrialState.FAIL,
                    value=trial.value,
                    params={dimension.name: trial.values[dimension.name] for dimension in inside},
                    distributions={dimension.name: dimension.distribution() for dimension in inside},
                    user_attrs={_RECORD: finite(asdict(trial))},
                )
            )

    def _study(self, key: str) -> Study:
        import optuna

        return optuna.load_study(study_name=key, storage=self._storage)

    def _state(self, key: str) -> StudyState | None:
        """Return a study for one strategy, or None if the process that created it was killed before it wrote more."""
        with _reported(self.where):
            study = self._study(key)
            attributes, trials = study.user_attrs, study.get_trials(deepcopy=False)
            written = [trial.user_attrs.get(_RECORD) for trial in trials]
        if not attributes and not trials:
            return None
        try:
            record = cast(StudyRecord, from_json(StudyRecord, attributes.get(_RECORD), "it"))
            ended = [cast(TrialRecord, from_json(TrialRecord, value, "a trial")) for value in written]
            pending = from_json(tuple[TrialRecord, ...], attributes.get(_OPEN, []), "a list of trials")
            _check(key, record, [*ended, *pending])
        except (ValueError, TypeError, OverflowError) as error:
            raise StoreError(f"study {key} in {self.where} is damaged: {error}", _REPEAT) from error
        # If two machines end a trial at the same time, the first record counts.
        by_number = {trial.number: trial for trial in reversed(ended)}
        trials_in_order = tuple(by_number[number] for number in sorted(by_number))
        return StudyState(
            study=record, trials=trials_in_order, open=tuple(t for t in pending if t.number not in by_number)
        )


def _key(record: StudyRecord) -> str:
    return f"{record.name}/{record.strategy}"


def _check(key: str, record: StudyRecord, trials: Sequence[TrialRecord]) -> None:
    """Raise ValueError if the records of a study do not belong together."""
    if _key(record) != key:
        raise ValueError(f"it is the record of {_key(record)}")
    names = {dimension.name for dimension in record.space}
    for trial in trials:
        if trial.values.keys() != names:
            raise ValueError(f"trial {trial.number} has other options than the space")
        for dimension in record.space:
            value = trial.values[dimension.name]
            if not (dimension.contains(value) or value == dimension.default):
                raise ValueError(f"trial {trial.number} has {value!r} for {dimension.name}, which is not in the space")


@contextmanager
def _reported(where: str) -> Iterator[None]:
    """Raise StoreError for errors of the database, and of optuna reading from it, within the block."""
    from optuna.exceptions import OptunaError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except ImportError as error:
        hint = "Install the driver that the URL names, or name another: https://docs.sqlalchemy.org/dialects"
        raise StoreError(f"no driver for the studies in {where}: {error}", hint) from error
    except RuntimeError as error:  # the schema of another version of optuna
        raise StoreError(f"the studies in {where} cannot be read: {_line(error)}", _REPEAT) from error
    except (SQLAlchemyError, sqlite3.Error, OptunaError, ValueError, KeyError, AssertionError) as error:
        raise StoreError(f"the studies in {where} {_problem(error)}", _REPEAT) from error


_PROBLEMS: Mapping[str, str] = {
    "is locked": "are locked by another process",
    "readonly": "cannot be written to",
    "unable to open": "cannot be opened",
    "full": "cannot grow: the disk is full",
    "connect": "cannot be reached",
}


def _problem(error: BaseException) -> str:
    cause = getattr(error, "orig", None) or error.__cause__ or error
    text = f"{error} {cause}".lower()
    known = next((problem for words, problem in _PROBLEMS.items() if words in text), "are damaged")
    return f"{known}: {_line(cause)}"


def _line(error: BaseException) -> str:
    lines = [line for line in redact(str(error)).splitlines() if line.strip()]
    return lines[0].strip() if lines else type(error).__name__
