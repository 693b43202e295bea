"""Cells of R-NEM's family against their equations written out pair by pair (rnem.md 4)."""

import pytest
import torch

from scenewise.nn.slot_cells import NormedLSTM, PlainCell, RelationalCell


def parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def given(slots: int = 4, inputs: int = 5, hidden: int = 6) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    torch.manual_seed(1)
    state = {"hidden": torch.rand(2, slots, hidden), "cell": torch.randn(2, slots, hidden)}
    return torch.randn(2, slots, inputs), state


def test_published_sizes() -> None:
    assert parameters(RelationalCell(512, 250)) == 531_401
    assert parameters(RelationalCell(512, 250, attention=0)) == 506_000
    assert parameters(PlainCell(512, 250)) == 191_250


def test_plain_cell() -> None:
    cell, (seen, state) = PlainCell(5, 6), given()
    new = cell(seen, state)
    raw = torch.cat([seen, state["hidden"]], -1) @ cell.linear.weight.T + cell.linear.bias
    torch.testing.assert_close(new["hidden"], raw.sigmoid())
    normed = (raw - raw.mean(-1, keepdim=True)) / raw.var(-1, unbiased=False, keepdim=True).sqrt()
    torch.testing.assert_close(new["latent"], normed.sigmoid(), rtol=1e-4, atol=1e-5)
    carried = PlainCell(5, 6, "normalised")(seen, state)
    assert torch.equal(carried["hidden"], carried["latent"])


def test_relational_cell_pair_by_pair() -> None:
    cell, (seen, state) = RelationalCell(5, 6, attention=3), given(3)
    found = cell.raw(seen, state["hidden"])
    for b in range(2):
        encoded = [cell.encode_norm(cell.encode(theta)).relu() for theta in state["hidden"][b]]
        for k in range(3):
            total = torch.zeros(6)
            for j in (j for j in range(3) if j != k):
                core = cell.core_norm(cell.core(torch.cat([encoded[k], encoded[j]]))).relu()
                total = total + cell.attend(core).sigmoid() * cell.effect_norm(cell.effect(core)).relu()
            expected = cell.linear(torch.cat([encoded[k], total, seen[b, k]]))
            torch.testing.assert_close(found[b, k], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("attention", [0, 3])
def test_a_slot_does_not_mind_the_order_of_the_others(attention: int) -> None:
    cell, (seen, state) = RelationalCell(5, 6, attention=attention), given()
    order = torch.tensor([0, 3, 1, 2])
    first = cell(seen, state)["latent"]
    second = cell(seen[:, order], {"hidden": state["hidden"][:, order]})["latent"]
    torch.testing.assert_close(first[:, order], second)


def test_attention_is_a_gate_for_every_pair_of_its_own() -> None:
    cell, (_, state) = RelationalCell(5, 6, attention=3), given()
    gates = cell.attention(state["hidden"]).detach()
    assert gates.shape == (2, 4, 3)
    assert 0 < float(gates.min()) <= float(gates.max()) < 1
    assert float((gates.sum(-1) - 1).abs().min()) > 0.01
    moved = state["hidden"].clone()
    moved[:, 3] += 1  # the last other of slot 0: only that gate of slot 0 changes
    assert torch.equal(cell.attention(moved)[:, 0, :2], gates[:, 0, :2])
    assert not torch.equal(cell.attention(moved)[:, 0, 2], gates[:, 0, 2])
    assert torch.equal(RelationalCell(5, 6, attention=0).attention(state["hidden"]), torch.ones(2, 4, 3))


def test_other_slots_matter_to_relations_alone() -> None:
    seen, state = given()
    moved = {"hidden": state["hidden"].clone()}
    moved["hidden"][:, 1] += 1
    torch.manual_seed(0)
    plain, relational = PlainCell(5, 6), RelationalCell(5, 6)
    assert torch.equal(plain(seen, state)["latent"][:, 0], plain(seen, moved)["latent"][:, 0])
    assert not torch.equal(relational(seen, state)["latent"][:, 0], relational(seen, moved)["latent"][:, 0])


def test_lstm_gate_by_gate() -> None:
    cell, (seen, state) = NormedLSTM(5, 6), given()
    x = torch.cat([seen, state["hidden"]], -1)

    def normed(v: torch.Tensor) -> torch.Tensor:
        return (v - v.mean(-1, keepdim=True)) / v.var(-1, unbiased=False, keepdim=True).sqrt()

    write, new, keep, show = (normed(x @ rows.T) for rows in cell.linear.weight.chunk(4))
    c = normed(state["cell"] * (keep + 1).sigmoid() + write.sigmoid() * new.tanh())
    found = cell(seen, state)
    torch.testing.assert_close(found["cell"], c, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found["hidden"], c.tanh() * show.sigmoid(), rtol=1e-4, atol=1e-5)
    assert torch.equal(found["latent"], found["hidden"])
