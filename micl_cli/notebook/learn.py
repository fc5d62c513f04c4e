"""Learning from Python: a run from start to end, or event by event."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from micl_cli.notebook.arguments import plan_learning
from micl_cli.notebook.learning import Learning, carry_out, progress_shown
from micl_cli.notebook.run import Run


def learn(
    strategy: str | None = None,
    tasks: str | Sequence[str] | None = None,
    *,
    config: str | Path | None = None,
    home: str | Path | None = None,
    progress: bool = True,
    **arguments: Any,
) -> Run:
    """Learn tasks one after another, score after each, and return the run. The same call again resumes the run.

    The arguments are the options of ``micl learn``, with the same names and defaults (see ``micl learn --help``), and
    so are the settings in ``micl.toml`` and variables: ``backbone``, ``seed``, ``recipe``, ``max_steps``, ``lr``,
    ``eval_examples``, ``name``, ``listen``, ``after`` and the others. ``strategy_options`` and ``backbone_options`` are
    dicts; ``{3: {"alpha": 0.5}}`` sets an option for the third task. ``config`` is a run file, whose values other
    arguments override. Progress is shown by bars, or by lines where there is no place for bars; without ``progress``,
    only notices are written to stderr.

    Interrupting it (Ctrl-C, or the stop button of a notebook) saves what is learnt and raises Interrupted;
    ``load_run("@last").resume()`` continues. Raises MiclError, with what to do, for anything else that a user can
    correct; its messages name arguments as options of ``micl learn``.

    >>> run = micl_cli.learn("moincl", ["img_cap", "aud_qa"], backbone="tiny", strategy_options={"alpha": 0.3})
    >>> run.matrix
    """
    with progress_shown(progress) as shown:
        planned = plan_learning(home, config, {"strategy": strategy, "tasks": tasks, **arguments})
        run = Run(planned.session, planned.plan.id, home)
        carry_out(run, planned, shown)
    return run


def learning(
    strategy: str | None = None,
    tasks: str | Sequence[str] | None = None,
    *,
    config: str | Path | None = None,
    home: str | Path | None = None,
    **arguments: Any,
) -> Learning:
    """Return an iterator over the events of a run, which is carried out as they are asked for (see :class:`Learning`).

    The arguments are those of :func:`learn`.

    >>> for event in micl_cli.learning("ewc", ["img_cap", "aud_qa"]):
    ...     if event.name == "step":
    ...         print(event.step, event.loss)
    """
    planned = plan_learning(home, config, {"strategy": strategy, "tasks": tasks, **arguments})
    return Learning(Run(planned.session, planned.plan.id, home), planned)
