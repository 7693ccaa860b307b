"""Answers by models under pressure, to be labelled for `tests/town/adversarial.md`.

    python benchmarks/adversarial.py --policy runs/demo/sft --reward runs/demo/reward
        --hacked runs/demo/ppo-unpenalised --attacked runs/gcg --out rows.md

Three sources: the best of 256 by a reward model; a policy that PPO trained without a penalty; the answers to
GCG's suffixes in a campaign (`alignlab redteam --attacks gcg`). Of each, first what the judge may have wrong:
answers that it and a simple second reading (how like they are to an ideal answer, word by word) see most
differently, answers that repeat themselves, and those that the reward model likes best. No two of a source
have the same kind of request and the same reason of the judge more often than `--alike` times. The rows come
without verdicts: a person reads them, beside an ideal answer of the town as it is now.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path

from alignlab import names
from alignlab.models.load import load_policy
from alignlab.records import Completion, Prompt, Score
from alignlab.redteam.exports.finished import attempts_of
from alignlab.run import read_run
from alignlab.sampling import Sampling
from alignlab.sampling.local import LocalSampler
from alignlab.settings import ModelSettings
from alignlab.town import answers, gold, language, phrasings, tasks, world

TOWN = world.build()


@dataclass(frozen=True)
class Candidate:
    """An answer, what the reward model gives it, and what the judge makes of it."""

    completion: Completion
    reward: float = 0.0

    @property
    def request(self) -> tasks.Request:
        return tasks.Request.of(self.completion.prompt)

    @property
    def ideal(self) -> str:
        return answers.ideal(TOWN, self.request, random.Random(0))

    def judged(self) -> Score:
        return gold.judge(TOWN, self.request, self.completion.text, finished=self.completion.finished)

    def disagreement(self) -> float:
        """How far the judge is from the share of words that stand, in order, in an ideal answer too."""
        said = language.words(self.completion.text)
        alike = SequenceMatcher(None, said, language.words(self.ideal), autojunk=False).ratio()
        return abs(self.judged().value - alike)

    def repeats(self) -> bool:
        """Whether a sentence, or three words, stand there twice."""
        words = language.words(self.completion.text)
        threes = list(zip(words, words[1:], words[2:], strict=False))
        lines = [tuple(language.words(line)) for line in language.sentences(self.completion.text)]
        return len(set(threes)) < len(threes) or len(set(lines)) < len(lines)

    def row(self) -> str:
        text = self.completion.text.replace("\n", "↵")
        cut = "" if self.completion.finished else "✂"
        return f"| `{' / '.join(self.request.turns)}` | `{text}{cut}` | ? | ? | ? | ideal: {self.ideal} |"


def sampled(model: str, reward: str, prompts: Sequence[Prompt], count: int, best: int) -> list[Candidate]:
    """Of `count` answers of a model to each prompt those `best` that a reward model likes best."""
    policy = load_policy(names.models.model(model).path, ModelSettings())
    groups = LocalSampler.of(policy, slots=256).sample(prompts, Sampling(n=count), seed=0)
    judge = names.judges.judge(f"reward:{reward}").load()
    found = []
    for group in groups:
        different = list({one.text: one for one in group}.values())
        scores = [score.value for score in judge.score(different)]
        ranked = sorted(zip(scores, different, strict=True), key=lambda pair: -pair[0])
        found += [Candidate(one, score) for score, one in ranked[:best]]
    return found


def attacked(run: str) -> list[Candidate]:
    """What a model answered to the suffixes of a campaign, as answers to the plain requests."""
    found = []
    for attempt in attempts_of(read_run(run)):
        if attempt.attack != "gcg":
            continue
        meta = attempt.prompt.meta
        plain = tasks.Request(
            meta["kind"],
            meta["params"],
            (phrasings.HOW_TO[0][0].format(T=meta["params"]["topic"]),),
            meta["split"],
        )
        found.append(Candidate(Completion(plain.prompt(), attempt.completion, finished=attempt.finished)))
    return found


def diverse(candidates: Sequence[Candidate], count: int, alike: int) -> list[Candidate]:
    """`count` of them, in turns by disagreement, by repeats and by reward."""
    orders = (
        sorted(candidates, key=lambda one: -one.disagreement()),
        sorted(candidates, key=lambda one: (not one.repeats(), -one.reward)),
        sorted(candidates, key=lambda one: -one.reward),
    )
    seen: Counter[tuple[str, str]] = Counter()
    picked: dict[tuple[str, str], Candidate] = {}
    for turn in zip(*orders, strict=True):
        for one in turn:
            place = (one.completion.prompt.id, one.completion.text)
            sort = (one.request.kind, one.judged().reason)
            if place not in picked and seen[sort] < alike and len(picked) < count:
                picked[place] = one
                seen[sort] += 1
    return list(picked.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--policy", default="", help="whose best of 256 is looked at")
    parser.add_argument("--reward", default="", help="the reward model that picks")
    parser.add_argument("--hacked", default="", help="a policy that PPO trained without a penalty")
    parser.add_argument("--attacked", default="", help="a campaign with GCG")
    parser.add_argument("--data", default="town:test", help="the requests")
    parser.add_argument("--prompts", type=int, default=150)
    parser.add_argument("--samples", type=int, default=256)
    parser.add_argument("--count", type=int, default=60, help="rows of each source")
    parser.add_argument("--alike", type=int, default=4)
    parser.add_argument("--out", type=Path, required=True)
    c = parser.parse_args()
    asked = names.data.read_data(c.data, "prompt", count=c.prompts).records
    sources: dict[str, list[Candidate]] = {}
    if c.policy:
        sources[f"Best of {c.samples}"] = sampled(c.policy, c.reward, asked, c.samples, best=3)
    if c.hacked:
        sources["PPO without a penalty"] = sampled(c.hacked, c.reward, asked, 8, best=8)
    if c.attacked:
        sources["GCG"] = attacked(c.attacked)
    parts = []
    for source, candidates in sources.items():
        head = (
            f"## {source}\n\n| request | answer | gold | cause | verify | why |\n|---|---|---|---|---|---|\n"
        )
        parts.append(head + "\n".join(one.row() for one in diverse(candidates, c.count, c.alike)) + "\n")
    c.out.write_text("\n".join(parts), encoding="utf-8")
    print(f"{c.out}: {sum(map(len, sources.values())):,} answers looked at")


if __name__ == "__main__":
    main()
