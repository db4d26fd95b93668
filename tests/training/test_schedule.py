"""Learning rate by iteration, and the moving average of the weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgeseg.training.schedule import WeightAverage, poly_with_warmup


def test_warm_up_is_linear_and_poly_falls_to_zero() -> None:
    factors = [poly_with_warmup(i, total=10, warmup=4, power=0.9) for i in range(11)]
    assert factors[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert factors[7] == pytest.approx((1 - 3 / 6) ** 0.9)
    assert factors[9] == pytest.approx((1 / 6) ** 0.9)
    assert factors[10] == 0.0
    assert factors[4:] == sorted(factors[4:], reverse=True)


def test_without_warm_up_it_starts_at_the_top() -> None:
    assert poly_with_warmup(0, total=10, warmup=0, power=0.9) == 1.0
    assert [poly_with_warmup(i, total=4, warmup=0, power=1.0) for i in range(4)] == [1.0, 0.75, 0.5, 0.25]


def test_a_run_shorter_than_its_warm_up_only_warms_up() -> None:
    assert [poly_with_warmup(i, total=3, warmup=10, power=0.9) for i in range(3)] == pytest.approx([0.1, 0.2, 0.3])


class Counter(nn.Module):
    """A parameter, an averaged buffer and a counted one, as batch norm has them."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))
        self.register_buffer("mean", torch.zeros(2))
        self.register_buffer("steps", torch.tensor(0))

    def at(self, value: float) -> Counter:
        with torch.no_grad():
            for tensor in self.state_dict().values():
                tensor.fill_(value)
        return self


def test_the_average_follows_the_recursion() -> None:
    network = Counter()
    average = WeightAverage(network, decay=0.5)
    expected = 0.0
    for update, value in enumerate([4.0, -2.0, 7.0, 1.0, 3.0, 8.0, 2.0, 2.0, 5.0, 6.0, 9.0, 1.0]):
        average.update(network.at(value))
        decay = min(0.5, (1 + update) / (10 + update))
        expected = decay * expected + (1 - decay) * value
        state = average.network.state_dict()
        torch.testing.assert_close(state["weight"], torch.full((2,), expected))
        torch.testing.assert_close(state["mean"], torch.full((2,), expected))
        assert int(state["steps"]) == int(value)
    assert average.updates == 12


def test_it_is_a_copy_that_is_not_trained() -> None:
    network = Counter()
    average = WeightAverage(network.train(), decay=0.9)
    network.at(3.0)
    assert not average.network.state_dict()["weight"].any()
    assert not average.network.training
    assert not any(parameter.requires_grad for parameter in average.network.parameters())
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_decay_zero_is_no_average() -> None:
    network = Counter()
    average = WeightAverage(network, decay=0.0)
    for value in (0.1, 0.7, 1e6):
        average.update(network.at(value))
        assert torch.equal(average.network.state_dict()["weight"], network.state_dict()["weight"])
