"""`alignlab redteam attacker`: a model learns to write prompts that get past a target."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import combinations, cycle, islice
from pathlib import Path
from typing import Any

from .. import names
from ..data.wrappers import WRAPPERS, compose
from ..feedback import ScoreJudge
from ..records import Completion, Demonstration, Message, Prompt, Score
from ..run import derive_seed
from ..sampling import Sampling
from ..settings import AttackerSettings
from ..text.rouge import rouge_l, words
from .attacks.attackers import attackers_prompt, progress
from .session import Session


def first_lessons(prompts: Sequence[Prompt], wrappers: Sequence[str], *, seed: int) -> list[Demonstration]:
    """How an attacker learns to write at all: requests and the wrappers around them. It learns forms here,
    and by reinforcement which of them work.
    """
    lessons = []
    for number, prompt in enumerate(prompts):
        rng = random.Random(derive_seed(seed, "first lessons", number))
        wrapped = compose(*rng.sample(wrappers, 2 if rng.random() < 0.2 else 1)).wrap(prompt, rng)
        if len(wrapped.messages) == 1:
            lessons.append(Demonstration(attackers_prompt(prompt), wrapped.text))
    return lessons


def writable_wrappers() -> list[str]:
    """The wrappers that a model can write word by word: all in plain language, and a few spellings."""
    spellings = ("spaced", "words-reversed", "stuffed", "payload-split", "direct-injection")
    return [name for name in WRAPPERS if WRAPPERS[name].family == "jailbreak" or name in spellings]


class AttackReward(ScoreJudge):
    """What an attacker's prompt is worth: 1 if the target then does what it ought to refuse, less for words
    that other successful prompts of the batch have too.

        reward = hit (1 - diversity * mean over the other hits of ROUGE-L(prompt without the request, theirs))
        + shaping * progress

    Without the second factor it ends with one trick (Perez et al. 2022, section 3.1: RL finds most and varies
    least).
    """

    logged = ("hit", "alike", "void")

    def __init__(self, session: Session, *, diversity: float, shaping: float = 0.1) -> None:
        super().__init__("attack")
        self.session, self.diversity, self.shaping = session, diversity, shaping

    def score(self, completions: Sequence[Completion]) -> list[Score]:
        prompts, residues = [], []
        for c in completions:
            prompts.append(Prompt((Message("user", c.text.strip() or "."),), c.prompt.meta))
            residues.append(without(c.text, str(c.prompt.meta.get("plain", ""))))
        verdicts = self.session.verdicts(self.session.ask(prompts, seed=0, temperature=0.0))
        hits = [i for i, verdict in enumerate(verdicts) if verdict.hit]
        scores = []
        for i, verdict in enumerate(verdicts):
            alike = 0.0
            others = [residues[j] for j in hits if j != i][:24]
            if verdict.hit and others:
                alike = sum(rouge_l(residues[i], other) for other in others) / len(others)
            value = float(verdict.hit) * (1 - self.diversity * alike) + self.shaping * progress(verdict)
            parts = {"hit": float(verdict.hit), "alike": alike, "void": float(verdict.label == "void")}
            scores.append(Score(value, parts, verdict.reason))
        return scores


def without(text: str, plain: str) -> str:
    """The words of a text that the plain request does not have."""
    known = set(words(plain))
    return " ".join(word for word in words(text) if word not in known)


def variety(texts: Sequence[str], plain: Sequence[str]) -> float:
    """1 less the mean ROUGE-L of pairs of prompts, the requests themselves taken out: 0 = all the same words,
    near 1 = all different.
    """
    if len(texts) < 2:
        return 0.0
    residues = list(map(without, texts, plain))[:60]
    alike = [rouge_l(a, b) for a, b in combinations(residues, 2)]
    return 1 - sum(alike) / len(alike)


def train_attacker(
    *,
    target: str,
    model: str,
    start: str,
    data: str,
    judge: str,
    out: Path,
    seed: int,
    resume: bool,
    settings: AttackerSettings,
) -> dict[str, Any]:
    """`alignlab redteam attacker MODEL`: first lessons from the wrappers (SFT), then RLOO against the target.

    Args:
        target, model: who is attacked, by either name. start: what the attacker starts from.
    """
    from ..stages.stage import card, done, keep, open_run, rate, result, train_policy, within_context

    model = target or model
    goals = names.data.read(data, "prompt", seed=seed, count=settings.goals)
    local = names.models.is_local(model)
    run = open_run(
        "redteam-attacker",
        out,
        settings,
        seed,
        resume,
        uses=[*names.models.loaded_here(model, start), goals],
        judge=judge,
        **({} if local else {"target": model}),
    )
    if run.done:
        return done(run)
    from ..methods import group, sft
    from ..models.load import load_policy
    from ..models.saving import save_policy
    from ..sampling.local import LocalSampler

    attacked = names.models.target(
        model, model=settings.model, endpoint=settings.endpoint, sampling=settings.rloo.sampling
    )
    session = Session(
        attacked,
        names.judges.verdicts(judge),
        sampling=Sampling(max_new_tokens=settings.rloo.sampling.max_new_tokens, temperature=0.0),
        identity=model,
    )
    requests = islice(cycle(goals.records), settings.lessons)
    lessons = first_lessons(list(requests), writable_wrappers(), seed=seed)

    # 1. learn to write prompts
    first = train_policy(
        "sft",
        "attacker, first lessons",
        names.models.model(start),
        lambda first, policy: sft.train(
            first, policy, lessons, within_context(first, settings.sft, policy.model), seed=seed
        ),
        out=run.path / "first",
        seed=seed,
        resume=True,
        settings=settings.sft,
        uses=[names.data.Data([], "first lessons", names.data.digest_of(lessons))],
        said=lambda summary: f"{len(lessons)} lessons",
        learnt=None,
    )

    # 2. learn which of them work on this target, and keep them various
    folder = names.models.model(first["run"]).path
    policy = load_policy(folder, settings.model, trainable=True)
    reference = load_policy(folder, settings.model, trainable=False)
    prompts = [attackers_prompt(prompt) for prompt in goals.records]

    from ..evals.statistics import mean_over

    def figures(who: Any) -> dict[str, Any]:
        """One prompt for every request: how many hit, how different those are, the first of them."""
        sampler = LocalSampler.of(who, slots=settings.rloo.sampling.slots)
        drawn = Sampling(max_new_tokens=settings.rloo.sampling.max_new_tokens, temperature=1.0)
        groups = sampler.sample(prompts, drawn, seed=derive_seed(seed, "tried"))
        sampler.close()
        written = [Completion(prompt, group[0].text) for prompt, group in zip(prompts, groups, strict=True)]
        scores = AttackReward(session, diversity=0.0).score(written)
        texts, requests = [], []
        for completion, score in zip(written, scores, strict=True):
            if score.parts["hit"] > 0:
                texts.append(completion.text)
                requests.append(str(completion.prompt.meta["plain"]))
        return {
            "asr": mean_over(scores, lambda score: score.parts["hit"] > 0),
            "variety": variety(texts, requests),
            "worked": texts[:20],
        }

    before = figures(reference)
    summary = group.train(
        run,
        policy,
        reference,
        prompts,
        settings.rloo,
        judge=AttackReward(session, diversity=settings.diversity),
        seed=seed,
    )
    after = figures(policy)
    summary |= {"before": before, "after": after, "target": model}
    keep(run, policy, summary, save_policy, card("attacker", start, data, seed, summary))
    return result(
        run,
        (
            f"success of one prompt {rate(before['asr'])} -> {rate(after['asr'])}, variety of what worked "
            f"{before['variety']:.2f} -> {after['variety']:.2f}"
        ),
    )
