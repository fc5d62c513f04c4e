from __future__ import annotations

import click

from micl_cli.cli.learn import learn
from micl_cli.cli.plan_options import given_settings, pop_settings
from micl_cli.plan import Evaluation, Training, declared_settings

OPTIONS = {option.name: option for option in learn.params if isinstance(option, click.Option)}


def test_every_setting_is_an_option_with_its_flags_and_help() -> None:
    for cls in (Training, Evaluation):
        for setting in declared_settings(cls).values():
            option = OPTIONS[setting.parameter]
            assert option.opts == list(setting.flags)
            assert option.default is None
            assert option.help and option.help.rstrip(".").lower() == setting.option.help.lower()


def test_types_and_ranges_are_those_of_click() -> None:
    kinds = {name: type(option.type) for name, option in OPTIONS.items()}
    assert (kinds["epochs"], kinds["warmup"], kinds["precision"]) == (click.IntRange, click.FloatRange, click.Choice)
    rate, warmup = OPTIONS["learning_rate"].type, OPTIONS["warmup"].type
    assert isinstance(rate, click.FloatRange) and isinstance(warmup, click.FloatRange)
    assert (rate.min, rate.min_open, rate.max) == (0, True, None)
    assert (warmup.min, warmup.max, warmup.max_open) == (0, 1, False)
    assert OPTIONS["eval_unseen"].secondary_opts == ["--no-eval-unseen"]


def test_settings_are_taken_out_of_the_flags_by_their_names() -> None:
    flags = {setting.parameter: None for setting in declared_settings(Evaluation).values()}
    flags |= {"eval_batch_size": 3, "seed": 1}
    evaluation = pop_settings(Evaluation, flags)
    assert flags == {"seed": 1}
    assert evaluation["batch_size"] == 3
    assert given_settings(Evaluation, evaluation, {"eval_batch_size", "batch_size"}) == {"batch_size": 3}
