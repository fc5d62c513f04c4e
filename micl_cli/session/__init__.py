"""Sessions: plan, run, record and evaluate, by connecting plugins, store and training."""

from __future__ import annotations

from micl_cli.session.estimate import RunEstimate as RunEstimate
from micl_cli.session.estimate import StageEstimate as StageEstimate
from micl_cli.session.evaluation import evaluate as evaluate
from micl_cli.session.learning import learn as learn
from micl_cli.session.listeners import configured_listeners as configured_listeners
from micl_cli.session.recorder import Recorder as Recorder
from micl_cli.session.recorder import run_data as run_data
from micl_cli.session.request import Request as Request
from micl_cli.session.session import Session as Session
