"""Words that commands do not take, and names in another case."""

from __future__ import annotations

from typing import Any

import pytest

from micl_cli.errors import nearest


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("learn img_cap", "--tasks img_cap"),
        ("learn img_cap aud_qa --seed 1", "--tasks img_cap,aud_qa"),
        ("learn --strategy moincl img_cap,aud_qa", "--tasks img_cap,aud_qa"),
        ("learn moincl img_cap", "--strategy moincl --tasks img_cap"),
        ("sweep finetune,ewc[lambda_ewc=3,lr=2],aud_qa", "--strategy 'finetune,ewc[lambda_ewc=3,lr=2]' --tasks aud_qa"),
        ("tune moincl", "--strategy moincl"),
        ("eval @last img_cap", "--tasks img_cap"),
        ("predictions @last img_cap", "--task img_cap"),
        ("learn --tasks img_cap aud_qa", "--tasks img_cap,aud_qa"),
        ("learn --tasks img_cap, aud_qa", "--tasks img_cap,aud_qa"),
        ("learn --tasks img_cap --tasks vid_qa aud_qa moincl", "--strategy moincl --tasks img_cap,vid_qa,aud_qa"),
        ("sweep --strategy ewc[lr=1,b=2] finetune", "--strategy 'ewc[lr=1,b=2],finetune'"),
        ("sweep --tasks img_cap --tasks aud_qa img_cap", "--tasks aud_qa,img_cap"),
        ("eval @last --tasks img_cap aud_qa", "--tasks img_cap,aud_qa"),
    ],
)
def test_tasks_and_strategies_without_their_option_are_an_error_that_names_it(
    micl: Any, words: str, meant: str
) -> None:
    code, out, err = micl(*words.split())
    assert (code, out) == (2, "")
    assert err.startswith("error: unexpected argument ")
    assert err.endswith(f"hint: Write: {meant}\n")


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (
            ["ask", "@last", "pics/p03.jpg", "what?"],
            "unexpected argument 'pics/p03.jpg what?': media are named by options",
            "Write: micl ask @last --image pics/p03.jpg 'what?'",
        ),
        (
            ["ask", "3f2a", "what?", "b.wav", "c.mp4"],
            "unexpected argument 'what? b.wav c.mp4': media are named by options",
            "Write: micl ask 3f2a --audio b.wav --video c.mp4 'what?'",
        ),
        (
            ["ask", "@last", "--image", "a.png", "what", "is", "it"],
            "unexpected argument 'what is it': the question is one argument",
            "Write: micl ask @last --image a.png 'what is it'",
        ),
        (
            ["board", "@last"],
            "unexpected argument '@last': micl board takes no run",
            "For its report: micl report @last --format html -o report.html",
        ),
        (
            ["learn", "@last"],
            "unexpected argument '@last': micl learn takes no run",
            "Continue an unfinished run: micl learn --resume @last",
        ),
        (["learn", "--strategy", "moincl", "4"], "unexpected argument '4'", "See `micl learn --help`."),
        (["learn", "--listen", "--max-steps", "4"], "--listen has no value", "Write: --listen NAME,..."),
    ],
)
def test_words_in_the_wrong_place_are_put_into_a_command(micl: Any, words: list[str], message: str, hint: str) -> None:
    assert micl(*words) == (2, "", f"error: {message}\nhint: {hint}\n")


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("learn --strategy moincl --alpha 0.3", "Write: -o alpha=0.3"),
        ("learn --alpha=0.3 --strategy moincl", "Write: -o alpha=0.3"),
        ("learn --strategy moincl --tasks x --pseudo-num", "Write: -o pseudo_num=VALUE"),
        ("learn --strategy finetune --lambda-ewc 3", "It is an option of the strategy ewc: -o lambda_ewc=3"),
        ("learn --alpha 0.3", "It is an option of the strategies ewf, moincl: -o alpha=0.3"),
        ("sweep --strategy finetune,ewc[form=online] --lambda-ewc 3", "Write: -o lambda_ewc=3"),
        ("learn --backbone toy --width 64", "Write: -b width=64"),
        ("learn --strategy moincl --sed 3", "Did you mean '--seed'? See `micl learn --help`."),
        ("report --strct @last", "Did you mean '--strict'? See `micl report --help`."),
        ("report -x @last", "See `micl report --help`."),
        ("ask @last --imge a.png", "Did you mean '--image'? See `micl ask --help`."),
    ],
)
def test_an_unknown_option_has_one_suggestion(home: Any, micl: Any, words: str, hint: str) -> None:
    code, out, err = micl(*words.split())
    assert (code, out) == (2, "")
    assert err.startswith("error: no such option: -")
    assert err.splitlines()[1:] == [f"hint: {hint}"]


def test_other_words_point_to_the_help(micl: Any) -> None:
    code, _, err = micl("doctor", "now")
    assert (code, err) == (2, "error: unexpected argument 'now'\nhint: See `micl doctor --help`.\n")
    assert micl("learn", "img_cap", "--help").code == 0


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("LEARN", "Did you mean 'learn'?"),
        ("runs 3f2ab", "Show it: micl runs show 3f2ab"),
        ("tasks mini/img_cap", "Show it: micl tasks show mini/img_cap"),
        ("runs SHW", "Did you mean 'show'?"),
        ("plugins show strategies MoInCL", "Did you mean 'moincl'?"),
        ("learn --strategy Moincl --tasks img_cap", "Did you mean 'moincl'?"),
        ("learn --strategy moincl --tasks img_cap -o Alpha=3", "Did you mean 'alpha'?"),
        ("learn --Strategy moincl", "Did you mean '--strategy'?"),
        ("runs --status Finished", "Did you mean 'finished'?"),
        ("completion Bash", "Did you mean 'bash'?"),
        ("learn --recipe MICL-ORDER-1", "Did you mean 'micl-order-1'?"),
        ("sweep --strategy finetune --order Order-1", "Did you mean 'order-1'?"),
    ],
)
def test_names_in_another_case_are_recognised(micl: Any, words: str, hint: str) -> None:
    code, _, err = micl(*words.split())
    assert code in (2, 3)
    assert hint in err


def test_the_nearest_name_in_the_same_case_goes_first() -> None:
    assert nearest("ABC", ["abc", "ABD"]) == "Did you mean 'abc'?"
    assert nearest("nothing", ["x"]) == ""


@pytest.mark.parametrize("group", ["tasks", "runs", "cache", "tune", "plugins", "backbones", "config"])
def test_every_list_has_both_names(micl: Any, group: str) -> None:
    assert micl(group, "ls").code == micl(group, "list").code == 0
    assert micl(group, "ls").out == micl(group, "list").out
    assert "Usage: micl" in micl(group, "list", "--help").out


def test_a_list_has_one_table_in_files(micl: Any, tmp_path: Any) -> None:
    (tmp_path / "micl.toml").write_text('[plugins.list]\nkind = "metrics"\n')
    assert {line.split()[0] for line in micl("plugins", "ls").out.splitlines()[1:]} == {"metrics"}
