"""Numbers beside the weights: saved with them, read from the host."""

import copy

import torch

from scenewise.nn.layers import Numbers


class Schedule(Numbers):
    def __init__(self):
        super().__init__()
        self.add_number("beta", 0.1)
        self.add_number("progress", 3)


def test_a_number_is_what_its_buffer_holds():
    module = Schedule()
    assert module.number("beta") == float(torch.tensor(0.1)) != 0.1
    assert module.number("progress") == 3
    assert module.progress.dtype == torch.int64
    module.set_number("progress", 7)
    assert (module.number("progress"), int(module.progress)) == (7, 7)


def test_numbers_travel_with_the_weights():
    module, other = Schedule(), Schedule()
    module.set_number("beta", 300.0)
    assert set(module.state_dict()) == {"beta", "progress"}
    assert other.number("beta") != 300.0
    other.load_state_dict(module.state_dict())
    assert other.number("beta") == 300.0
    assert copy.deepcopy(other).number("beta") == 300.0
