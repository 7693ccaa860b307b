"""A tiny model and a judge that knows what it wants."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from alignlab.feedback.safety.verdicts import Verdict
from alignlab.models.load import load_policy
from alignlab.models.policy import Policy
from alignlab.redteam.session import Session
from alignlab.sampling import Sampling
from alignlab.sampling.local import LocalSampler
from alignlab.settings import ModelSettings
from alignlab.town import base


class Wants:
    """A judge to whom an answer that holds a word is a hit."""

    def __init__(self, word: str) -> None:
        self.name, self.word = f"wants:{word}", word

    def verdicts(self, completions):
        return [
            Verdict.of("compliance" if self.word in c.text else "refusal", float(self.word not in c.text))
            for c in completions
        ]


@pytest.fixture(scope="session")
def town() -> Policy:
    """The shipped base model of the town."""
    policy = load_policy(str(base.shipped("town")), ModelSettings(threads=1))
    policy.model.eval()
    return policy


@pytest.fixture
def session_of(town: Policy):
    def make(word: str, folder: Path | None = None, most: int = 12) -> Session:
        torch.set_num_threads(1)
        sampler = LocalSampler.of(town, name="town")
        return Session(
            sampler,
            Wants(word),
            sampling=Sampling(max_new_tokens=most, temperature=0.0),
            identity="town",
            folder=folder,
        )

    return make
