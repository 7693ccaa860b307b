"""A step in two halves: the same bits whoever reads the later one."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import nn

from alignlab.models.halves import Halves
from alignlab.models.optimizer import MasterAdamW
from alignlab.run import beside
from alignlab.settings import OptimSettings

copies = pytest.mark.skipif(sys.platform != "linux", reason="processes are not copied here")


def trained(
    lent: Callable[[], bool] | None, *, spoil: bool = False
) -> tuple[list[list[tuple[float, int]]], list[torch.Tensor]]:
    """What each half said, with the process that read it, and the weights after a few steps; the last layer
    learns from the later half alone.
    """
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 96), nn.GELU(), nn.Linear(96, 1))
    aside = nn.Linear(64, 1)
    optimizer = MasterAdamW([*model.parameters(), *aside.parameters()], OptimSettings(lr=1e-2), 12)
    x_NH, here = torch.randn(33, 64), os.getpid()

    def learn(step: int, half: int, rows: Sequence[int]) -> tuple[float, int]:
        if spoil and step == 5 and os.getpid() != here:
            os._exit(1)
        loss = model(x_NH[list(rows)]).pow(2).sum() / len(x_NH)
        if half:
            loss = loss + aside(x_NH[list(rows)]).pow(2).sum() / len(x_NH)
        loss.backward()
        return loss.item(), os.getpid()

    beside.lend(lent)
    try:
        with Halves(learn, [optimizer]) as halves:
            said = []
            for step in range(12):
                said.append(halves.step(step, range(len(x_NH))))
                optimizer.step()
    finally:
        beside.lend(None)
    return said, [weight.detach().clone() for weight in (*model.parameters(), *aside.parameters())]


@copies
def test_the_figures_do_not_depend_on_who_reads_the_later_half() -> None:
    lends = iter(range(1000))
    alone, weights = trained(None)
    assert {process for halves in alone for _, process in halves} == {os.getpid()}
    for lent, spoil, processes in (
        (lambda: True, False, 2),
        (lambda: next(lends) % 3 == 0, False, 2),  # for some steps
        (lambda: True, True, 2),  # until it is killed in the middle of one
        (lambda: False, False, 1),
    ):
        said, found = trained(lent, spoil=spoil)
        assert len({process for halves in said for _, process in halves}) == processes
        assert [[loss for loss, _ in halves] for halves in said] == [
            [loss for loss, _ in halves] for halves in alone
        ]
        assert all(torch.equal(a, b) for a, b in zip(weights, found, strict=True))


def test_the_sum_is_that_of_all_rows() -> None:
    model = nn.Linear(8, 1)
    optimizer, x_NH = MasterAdamW(model.parameters(), OptimSettings(), 1), torch.randn(5, 8)

    def learn(_: int, __: int, rows: Sequence[int]) -> int:
        model(x_NH[list(rows)]).pow(2).sum().backward()
        return len(rows)

    with Halves(learn, [optimizer]) as halves:
        assert halves.step(0, range(5)) == [3, 2]
        found = [weight.grad for weight in model.parameters()]
        (wanted,) = torch.autograd.grad(model(x_NH).pow(2).sum(), [model.weight])
        torch.testing.assert_close(found[0], wanted)
        optimizer.step()
        assert halves.step(1, [4]) == [1]  # one row has no halves


def test_a_process_with_several_threads_is_not_copied() -> None:
    """Its copy would have none of them, and wait for them: `--model.threads 2` reads both halves itself."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        said, _ = trained(lambda: True)
    finally:
        torch.set_num_threads(threads)
    assert {process for halves in said for _, process in halves} == {os.getpid()}
