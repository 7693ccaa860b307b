"""Figures as people read them: a mean with its interval, or with its spread over seeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def with_interval(figure: Mapping[str, Any], digits: int = 3, sign: str = "") -> str:
    """A mean that is known with its interval (`evals.statistics.mean_ci`): "0.612 [0.550, 0.670]"; where too
    few values say nothing of their spread, "0.612 (n = 1, no interval)".
    """
    mean = f"{figure['mean']:{sign}.{digits}f}"
    if figure["ci"] is None:
        return f"{mean} (n = {figure['n']}, no interval)"
    low, high = figure["ci"]
    return f"{mean} [{low:{sign}.{digits}f}, {high:{sign}.{digits}f}]"


def with_spread(over_seeds: Mapping[str, Any], digits: int = 3, sign: str = "") -> str:
    """Mean and deviation over seeds (`evals.statistics.seeds_summary`): "0.612 ± 0.020"; of one seed, which
    has no spread, the mean alone.
    """
    mean = f"{over_seeds['mean']:{sign}.{digits}f}"
    if over_seeds["sd"] is None:
        return mean
    return f"{mean} ± {over_seeds['sd']:.{digits}f}"
