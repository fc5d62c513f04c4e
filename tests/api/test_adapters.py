"""Adapters by name: what is added, copied, selected and learnt."""

from __future__ import annotations

import pytest
import torch

from micl_cli.api import AdapterSpec, Mixture, OptionError
from micl_cli.errors import PluginError
from micl_cli.testing import ToyBackbone, toy_examples


@pytest.fixture
def backbone() -> ToyBackbone:
    made = ToyBackbone()
    made.adapters.add("main", seed=1)
    made.adapters.activate("main")
    return made


def test_using_nests_and_returns(backbone: ToyBackbone) -> None:
    adapters = backbone.adapters
    adapters.add("other")
    adapters.activate("main", learning=["other"])
    with adapters.using("other"):
        with adapters.using(None):
            assert adapters.active is None
        assert adapters.active == "other"
        assert not torch.is_grad_enabled()
    assert (adapters.active, adapters.learning) == ("main", ("other",))
    assert torch.is_grad_enabled()


def test_a_copy_takes_the_place_of_what_was_there(backbone: ToyBackbone) -> None:
    backbone.adapters.add("teacher", seed=9)
    backbone.adapters.copy("main", "teacher")
    ours, theirs = backbone.adapters.state("main"), backbone.adapters.state("teacher")
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert backbone.adapters.names == ("main", "teacher")


def test_a_copy_is_made_of_the_same_kind(backbone: ToyBackbone) -> None:
    spec = AdapterSpec("experts", {"experts": 2, "rank": 4})
    backbone.adapters.add("experts", spec)
    backbone.adapters.copy("experts", "teacher")
    assert backbone.adapters.spec("teacher") == spec
    assert spec.as_json() == {"kind": "experts", "options": {"experts": 2, "rank": 4}, "connectors": True}


@pytest.mark.parametrize("name", ["", "a.b", "../up", "a b"])
def test_a_name_must_do_as_a_file_name(backbone: ToyBackbone, name: str) -> None:
    with pytest.raises(ValueError, match="letters, digits"):
        backbone.adapters.add(name)


def test_weights_of_other_names_are_refused(backbone: ToyBackbone) -> None:
    state = backbone.adapters.state("main")
    with pytest.raises(KeyError, match="adapter 'main'"):
        backbone.adapters.load("main", {**state, "more": torch.zeros(1)})


def test_unknown_kinds_and_options_are_refused(backbone: ToyBackbone) -> None:
    with pytest.raises(PluginError, match="no adapter 'nothing'"):
        backbone.adapters.add("a", AdapterSpec("nothing"))
    with pytest.raises(OptionError, match="adapter kind lora has no option 'rang'"):
        backbone.adapters.add("a", AdapterSpec("lora", {"rang": 4}))
    assert backbone.adapters.names == ("main",)


def test_trainable_leaves_out_the_connectors_not_asked_for(backbone: ToyBackbone) -> None:
    adapters = backbone.adapters
    names = set(adapters.trainable({"video"}))
    assert {adapters.group(name) for name in names} == {"lora", "connector/video"}
    assert all(name.startswith("main/") for name in names)
    adapters.activate(None)
    assert adapters.trainable({"video"}) == {}


def test_groups_of_all_kinds(backbone: ToyBackbone) -> None:
    adapters = backbone.adapters
    adapters.add("experts", AdapterSpec("experts", {"noisy": True}))
    adapters.add("soft", AdapterSpec("prompts", connectors=False))
    found = {name: {adapters.group(key) for key in adapters.parameters(name)} for name in adapters.names}
    connectors = {f"connector/{modality}" for modality in backbone.modalities}
    assert found == {"main": {"lora", *connectors}, "experts": {"lora", "gate", *connectors}, "soft": {"prompt"}}


def test_an_adapter_that_acts_in_a_mixture_cannot_be_removed(backbone: ToyBackbone) -> None:
    adapters = backbone.adapters
    adapters.add("other")
    adapters.activate(["main", Mixture(["other"], torch.ones(1))], learning=())
    with pytest.raises(ValueError, match="adapter 'other' is active"):
        adapters.remove("other")
    assert adapters.active_names == {"main", "other"}


def test_one_that_learns_without_acting_can_be_removed(backbone: ToyBackbone) -> None:
    adapters = backbone.adapters
    adapters.add("other")
    adapters.activate("main", learning=["main", "other"])
    adapters.remove("other")
    assert adapters.learning == ("main",)
    torch.autograd.backward(backbone.loss(backbone.batch(toy_examples(["image"]))))


def test_an_adapter_without_connectors_reads_no_media(backbone: ToyBackbone) -> None:
    backbone.adapters.add("words", AdapterSpec("lora", connectors=False))
    backbone.adapters.activate("words")
    batch = backbone.batch(toy_examples(["image"]))
    with pytest.raises(ValueError, match="has a connector for image"):
        backbone.loss(batch)
    backbone.adapters.activate(["words", "main"])
    assert torch.isfinite(backbone.loss(batch))
