from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.random import default_rng

from micl_cli.api import PlanError
from micl_tasks.open import clips
from micl_tasks.open.clips import FRAMES, QUESTIONS, SIZE, STANDS, WALKS, WORKS
from micl_tasks.open.sprites import figures, figures_of, texture

ACTIONS = (WALKS, WORKS, STANDS)


def test_figures_are_read_with_their_animations(game: Path) -> None:
    everyone = figures(game)
    assert len(everyone) == 36
    assert {figure.group for figure in everyone} == {"Amazon", "Atlantean", "barbarian", "Roman", "Frisian", "animal"}
    figure = everyone[0]
    walks = {("walk", direction) for direction in ("e", "ne", "nw", "w", "sw", "se")}
    assert figure.by_action.keys() == {*walks, ("idle", ""), ("dig", "")}  # nothing is carried
    assert len(figure.by_action["idle", ""].images()) == 4


def test_frames_share_the_box_that_any_of_them_fills(game: Path) -> None:
    images = figures(game)[0].by_action["walk", "e"].images()
    assert {image.size for image in images} == {(7, 6)}
    assert [image.getchannel("A").getbbox() for image in images] == [(i, 0, i + 4, 6) for i in range(4)]


def test_the_largest_scale_is_taken(game: Path) -> None:
    folder = game / "world/critters/beast0"
    (folder / "dig_4.png").write_bytes((folder / "dig.png").read_bytes())
    beast = next(figure for figure in figures(game) if figure.identity == "critters/beast0")
    assert beast.by_action["dig", ""].path.name == "dig_4.png"


def test_figures_belong_to_one_split_and_groups_to_all(game: Path) -> None:
    everyone = figures(game)
    sets = {split: figures_of(split, everyone) for split in ("train", "val", "test")}
    held = [figure.identity for groups in sets.values() for members in groups.values() for figure in members]
    assert sorted(held) == sorted(figure.identity for figure in everyone)
    assert all(members for groups in sets.values() for members in groups.values())


def test_figures_with_the_same_sprites_share_their_split(game: Path) -> None:
    workers = sorted((game / "tribes/workers/empire").iterdir())
    for worker in workers[1:]:
        (worker / "dig.png").write_bytes((workers[0] / "dig.png").read_bytes())
    sizes = [len(figures_of(split, figures(game))["Roman"]) for split in ("train", "val", "test")]
    assert sorted(sizes) == [0, 0, 6]


def test_captions_and_answers_agree_with_the_clip(game: Path) -> None:
    rng, groups = default_rng(1), figures_of("train", figures(game))
    for _ in range(300):
        clip = clips.draw(groups, ACTIONS, rng)
        captions = clips.captions(clip)
        assert len(set(captions)) == 8
        assert all(clip.figure.group in caption and clip.ground in caption for caption in captions)
        assert all(clip.way in caption for caption in captions)
        figure, ground, way, action = (ask(clip, rng) for ask in QUESTIONS.values())
        assert (figure.answer, ground.answer, action.answer) == (clip.figure.group, clip.ground, clip.action)
        assert (way is None) == (clip.action != WALKS)
        assert clip.terrain in clips.GROUNDS[clip.ground]


def middles(frames: np.ndarray) -> np.ndarray:
    """Return where the figure is in each frame, in x and y: the ground is the same in all of them."""
    moving = np.abs(frames.astype(int) - np.median(frames, axis=0)).sum(-1) > 60
    return np.array([[places.mean() for places in np.nonzero(frame)[::-1]] for frame in moving])


@pytest.mark.parametrize("direction", ["e", "ne", "nw", "w", "sw", "se"])
def test_a_figure_moves_the_way_that_is_told(direction: str, game: Path) -> None:
    figure = figures(game)[0]
    clip = clips.Clip(figure, ("walk", direction), "snow", "winter/snow")
    frames = clips.render(clip, game, default_rng(3))
    assert frames.shape == (FRAMES, SIZE, SIZE, 3)
    places = middles(frames)
    x, y = places[-1] - places[0]
    assert (x > 5, x < -5) == ("east" in clip.way, "west" in clip.way)
    assert (y > 5, y < -5) == ("south" in clip.way, "north" in clip.way)


def test_data_of_another_version_is_refused(game: Path, tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="has no animations"):
        figures(tmp_path)
    with pytest.raises(PlanError, match="has no terrain winter/tropics"):
        texture(game, "winter/tropics")
