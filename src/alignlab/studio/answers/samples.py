"""What one run wrote down: curves, samples, probes, tokens."""

from __future__ import annotations

import numpy as np

from .. import lists, schema
from ..desk import Visit


def metrics(visit: Visit, asked: schema.MetricsAsked) -> schema.Columns:
    """Curves."""
    watched = visit.desk.watched(asked.id)
    watched.catch_up("metrics")
    with watched.lock("metrics"), np.errstate(all="ignore"):
        return watched.metrics.asked(asked, watched.generation)


def listed(visit: Visit, asked: schema.SamplesAsked) -> schema.Samples:
    """Samples that match, in pages; their texts are cut."""
    return lists.samples(visit.desk.watched(asked.id), asked)


def one(visit: Visit, asked: schema.SampleAsked) -> schema.Sample:
    """One sample, whole."""
    return lists.sample(visit.desk.watched(asked.id), asked.row)


def histogram(visit: Visit, asked: schema.BinsAsked) -> schema.Bins:
    """How a figure of the samples is spread at each step."""
    return lists.bins(visit.desk.watched(asked.id), asked)


def probes(visit: Visit, asked: schema.RunAsked) -> schema.Probes:
    """The same prompts as training went on."""
    return lists.probes(visit.desk.watched(asked.id))


def tokens(visit: Visit, asked: schema.TokensAsked) -> schema.Tokens:
    """A rollout by token, as it was recorded."""
    return lists.tokens(visit.desk.watched(asked.id), asked)
