"""The same few prompts answered greedily as training goes on. Nothing is drawn for them, and nobody learns
from them: with or without probes a run makes the same model and the same metrics, to the bit.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..feedback import Judge
from ..records import Prompt
from ..run import RunDir, at_step
from ..sampling import Sampling
from ..sampling.local import LocalSampler
from ..settings import RolloutTraining
from .sample import Source


class Probes:
    """Prompts from all over those that a loop learns on. In this process they have a sampler of their own:
    what lies in the memory of the other may show in the last digits of what it says.
    """

    def __init__(self, run: RunDir, source: Source, settings: RolloutTraining, gold: Judge | None) -> None:
        self.run, self.source, self.gold, self.every = run, source, gold, settings.probe_every
        self.prompts = spread(source.prompts, settings.probes)

    def ask(self, step: int, *, last: bool = False) -> None:
        """Answers of the policy as it is before a step, if it is time, or after the last."""
        if not self.prompts or (step % self.every and not last):
            return
        policy, sampler = self.source.policy, self.source.sampler
        self.source.written_ahead()  # by the weights that the sampler has now
        if isinstance(sampler, LocalSampler):
            sampler = LocalSampler.of(policy, slots=len(self.prompts), name="policy")
        else:
            sampler.sync(policy.model)
        greedy = Sampling(max_new_tokens=self.source.sampling.max_new_tokens, temperature=0.0)
        with at_step(step):
            answers = [group[0] for group in sampler.sample(self.prompts, greedy)]
        rows = [{"probe": str(i), **answer.to_json()} for i, answer in enumerate(answers)]
        if self.gold:
            for row, score in zip(rows, self.gold.score(answers), strict=True):
                row |= {"gold": score.value, "reason": score.reason}
        self.run.log_samples(step, rows, into="probes")


def spread(prompts: Sequence[Prompt], count: int) -> list[Prompt]:
    """So many of the prompts, as far apart as they can be; all of them if there are fewer."""
    count = min(count, len(prompts))
    return [prompts[i * len(prompts) // count] for i in range(count)]
