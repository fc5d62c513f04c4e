from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM

from micl_backbones.composed.packing import plan_branches, plan_packing

LENGTHS = st.lists(st.integers(1, 12), min_size=2, max_size=9).filter(lambda n: plan_packing(n) is not None)


@given(LENGTHS)
def test_what_is_packed_comes_out_again(lengths: list[int]) -> None:
    packing = plan_packing(lengths)
    assert packing is not None
    padded = torch.zeros(len(lengths), max(lengths), 3)
    for i, length in enumerate(lengths):
        padded[i, :length] = torch.randn(length, 3)
    packed, _, _ = packing.pack(padded)
    assert packed.shape[0] * packed.shape[1] < padded.shape[0] * padded.shape[1]
    assert torch.equal(packing.unpack(packed, max(lengths)), padded)


def test_sequences_of_like_length_are_left_padded_only() -> None:
    assert plan_packing([10, 10, 9, 10]) is None


def test_a_model_sees_each_sequence_as_if_it_were_alone() -> None:
    torch.manual_seed(0)
    config = LlamaConfig(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, vocab_size=8)
    model = LlamaForCausalLM(config).eval().model
    lengths = [11, 3, 4, 2, 5]
    packing = plan_packing(lengths)
    assert packing is not None
    padded = torch.randn(len(lengths), 11, 32, requires_grad=True)
    packed, position, mask = packing.pack(padded)
    hidden = model(inputs_embeds=packed, position_ids=position, attention_mask=mask).last_hidden_state
    together = packing.unpack(hidden, 11)
    for i, length in enumerate(lengths):
        alone = model(inputs_embeds=padded[i : i + 1, :length]).last_hidden_state[0]
        torch.testing.assert_close(together[i, :length], alone, atol=1e-5, rtol=1e-4)
    together.square().sum().backward()
    assert padded.grad is not None and padded.grad.isfinite().all()


def test_what_sequences_share_is_read_once() -> None:
    torch.manual_seed(0)
    config = LlamaConfig(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, vocab_size=8)
    model = LlamaForCausalLM(config).eval().model
    lengths, shared = [11, 3, 9, 4, 8, 5], [(0, 0), (1, 0), (0, 6), (3, 0), (0, 6), (3, 2)]
    packing = plan_packing(lengths, shared)
    assert packing is not None
    drawn = torch.randn(len(lengths), 11, 32)
    for i, (leader, skip) in enumerate(shared):
        drawn[i, :skip] = drawn[leader, :skip]
    padded = drawn.clone().requires_grad_()
    packed, position, mask = packing.pack(padded)
    assert packed.shape[0] * packed.shape[1] < sum(lengths)
    hidden = model(inputs_embeds=packed, position_ids=position, attention_mask=mask).last_hidden_state
    together = packing.unpack(hidden, 11)
    wanted, alone = torch.zeros_like(together), drawn.clone().requires_grad_()
    for i, (length, (_, skip)) in enumerate(zip(lengths, shared, strict=True)):
        wanted[i, skip:length] = model(inputs_embeds=alone[i : i + 1, :length]).last_hidden_state[0, skip:]
    torch.testing.assert_close(together, wanted, atol=1e-5, rtol=1e-4)
    weight = torch.randn_like(together)
    ours, theirs = (torch.autograd.grad((weight * x).sum(), y)[0] for x, y in ((together, padded), (wanted, alone)))
    for i, (leader, skip) in enumerate(shared):  # what is shared gets the gradients of all that share it
        if leader != i:
            theirs[leader, :skip] += theirs[i, :skip]
            theirs[i, :skip] = 0
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-3)


@given(st.data())
def test_each_position_stands_at_one_place(data: st.DataObject) -> None:
    lengths = data.draw(st.lists(st.integers(2, 12), min_size=2, max_size=9))
    shared: list[tuple[int, int]] = []
    for i, length in enumerate(lengths):
        leader = data.draw(st.sampled_from([i, *(j for j, (other, _) in enumerate(shared) if other == j)]))
        skip = 0 if leader == i else data.draw(st.integers(1, min(length, lengths[leader]) - 1))
        shared.append((leader, skip))
    packing = plan_packing(lengths, shared)
    if packing is None:
        return
    own, row, column = packing.places(max(lengths))
    assert own.sum() == sum(lengths) - sum(skip for _, skip in shared)
    assert len({*zip(row.tolist(), column.tolist(), strict=True)}) == len(row)
    assert int(row.max()) < packing.rows and int(column.max()) < packing.width
    for i, (leader, _) in enumerate(shared):
        assert packing.row[i] == packing.row[leader] and packing.start[i] >= packing.start[leader]
    owner, (rows, columns) = packing.owner(), packing.all_places(max(lengths))
    assert (owner >= 0).sum() == len(row)
    for i, (leader, skip) in enumerate(shared):
        held = owner[rows[i, : lengths[i]], columns[i, : lengths[i]]]
        assert held.tolist() == [leader] * skip + [i] * (lengths[i] - skip)
        assert torch.equal(columns[i, :skip], columns[leader, :skip])


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4))
def test_a_branch_sees_itself_alone(ends: list[int]) -> None:
    branches = plan_branches(ends)
    start = scored = 0
    for size in ends:
        for at in range(size):
            assert branches.previous[scored] == (0 if at == 0 else start + at)
            scored += 1
        for at in range(size - 1):
            assert branches.mask[start + at].nonzero()[:, 0].tolist() == [*range(start, start + at + 1)]
            assert branches.offset[start + at] == at
        start += size - 1
    assert scored == len(branches.previous)
    assert start == len(branches.offset)
