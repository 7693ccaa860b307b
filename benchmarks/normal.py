"""Is this normal? Healthy runs and runs with one fault each, on the town, and what the rules of
`alignlab.health.rules` say of them.

    python benchmarks/normal.py --out runs/normal                     the runs (they go on), the table
    python benchmarks/normal.py --out runs/normal --record FILE.gz    keeps what the rules read, for the tests

Each fault is put into a real training run, through a setting where one does it and by patching the loop where
it is a bug that somebody might write. A fault counts as named when one of the rules expected for it says
"broken"; a healthy run must hear that from none. Thresholds were set while looking at seeds 0 and 1 of the
town's version 1: a seed after those is a test, and so is every seed of a later version.
"""

from __future__ import annotations

import argparse
import copy
import gzip
import json
import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch

from alignlab import __version__, names, stages
from alignlab.errors import GuardStop
from alignlab.feedback import RuleJudge
from alignlab.health.rules import Watch, examine
from alignlab.names.named import Named
from alignlab.records import Completion, Ranking, write_jsonl
from alignlab.run import read_run
from alignlab.settings import (
    CollectSettings,
    DPOSettings,
    ModelSettings,
    OptimSettings,
    PPOSettings,
    RewardSettings,
    SamplingSettings,
    SFTSettings,
)
from alignlab.town.world import VERSION

ONE = ModelSettings(threads=1)
WIDE = SamplingSettings(slots=128)
SFT = SFTSettings(model=ONE)
COLLECT = CollectSettings(from_others=0.5, held_out=0.2, sampling=WIDE, model=ONE)
REWARD = RewardSettings(model=ONE)
DPO = DPOSettings(beta=0.3, optim=OptimSettings(lr=1e-4), model=ONE)
PPO = PPOSettings(
    steps=16,
    rollouts=64,
    per_prompt=2,
    epochs=1,
    kl_coef=0.1,
    optim=OptimSettings(lr=2e-4, schedule="constant", weight_decay=0.0),
    sampling=WIDE,
    model=ONE,
)


@dataclass(frozen=True)
class Case:
    """A run: how it is made, and the rules of which one must call it broken (none for a healthy run)."""

    name: str
    make: Callable[[Lab, Path, int], Any]
    expect: tuple[str, ...] = ()


class Lab:
    """What the runs start from: an SFT model, rankings and a reward model of the town's smallest, made once a
    seed.
    """

    def __init__(self, out: Path, seed: int) -> None:
        self.out, self.seed = out / f"seed-{seed}", seed
        shared = {"seed": seed, "resume": True}
        self.sft = str(self.out / "base-sft")
        self.rankings = str(self.out / "base-collect")
        self.reward = str(self.out / "base-reward")
        stages.sft(model="town-s", data="town:demos", count=1000, out=Path(self.sft), settings=SFT, **shared)
        stages.collect(
            model=self.sft,
            data="town:prompts",
            count=700,
            annotator="town:fair",
            gold="town:gold",
            others="town:crowd",
            out=Path(self.rankings),
            settings=COLLECT,
            **shared,
        )
        stages.reward(
            model=self.sft,
            data=self.rankings,
            gold="town:gold",
            out=Path(self.reward),
            settings=replace(REWARD, epochs=2.0),
            **shared,
        )

    def without_end(self) -> str:
        """An SFT model whose end token was masked out of the loss (pad = eos)."""
        out = self.out / "base-sft-without-end"
        with mask_without_end():
            stages.sft(
                model="town-s",
                data="town:demos",
                count=1000,
                out=out,
                settings=SFT,
                seed=self.seed,
                resume=True,
            )
        return str(out)

    def ranking_file(self, name: str, change: Callable[[Ranking, random.Random], Ranking]) -> str:
        """The rankings as a file of their own, those kept for testing among them, each changed; the same
        prompts are then held out again.
        """

        rng = random.Random(self.seed)
        path = self.out / f"{name}.jsonl"
        write_jsonl(
            path,
            [
                change(r, rng)
                for name in ("rankings", "rankings_test")
                for r in names.data.read_data(
                    str(Path(self.rankings) / "data" / f"{name}.jsonl"), "ranking"
                ).records
            ],
        )
        return str(path)


# how a run is made


def sft(
    patches: Any = None, data: str = "town:demos", count: int = 600, model: str = "town-s", **change: Any
) -> Callable[[Lab, Path, int], Any]:
    def make(lab: Lab, out: Path, seed: int) -> Any:
        with patches() if patches else nullcontext():
            return stages.sft(
                model=model,
                data=data,
                count=count,
                out=out,
                seed=seed,
                resume=True,
                settings=changed(SFT, change),
            )

    return make


def reward(
    patches: Any = None, data: Callable[[Lab], str] = lambda lab: lab.rankings, count: int = 0, **change: Any
) -> Callable[[Lab, Path, int], Any]:
    def make(lab: Lab, out: Path, seed: int) -> Any:
        with patches() if patches else nullcontext():
            return stages.reward(
                model=lab.sft,
                data=data(lab),
                gold="",
                count=count,
                out=out,
                seed=seed,
                resume=True,
                settings=changed(REWARD, change),
            )

    return make


def dpo(
    patches: Any = None, data: Callable[[Lab], str] = lambda lab: lab.rankings, count: int = 0, **change: Any
) -> Callable[[Lab, Path, int], Any]:
    def make(lab: Lab, out: Path, seed: int) -> Any:
        with patches(lab) if patches else nullcontext():
            return stages.dpo(
                model=lab.sft,
                data=data(lab),
                count=count,
                out=out,
                seed=seed,
                resume=True,
                settings=changed(DPO, change),
            )

    return make


def ppo(
    patches: Any = None,
    judge: str = "",
    gold: str = "town:gold",
    model: Callable[[Lab], str] = lambda lab: lab.sft,
    **change: Any,
) -> Callable[[Lab, Path, int], Any]:
    def make(lab: Lab, out: Path, seed: int) -> Any:
        with patches(lab) if patches else nullcontext():
            return stages.ppo(
                model=model(lab),
                reward=lab.reward,
                data="town:prompts",
                count=1500,
                gold=gold,
                ptx="",
                out=out,
                seed=seed,
                resume=True,
                settings=changed(PPO, change),
                judge=judge,
            )

    return make


def changed(settings: Any, change: dict[str, Any]) -> Any:
    """Settings with some of them changed; `optim_lr` stands for optim.lr."""
    for name, value in change.items():
        head, _, rest = name.partition("__")
        settings = replace(
            settings, **{head: replace(getattr(settings, head), **{rest: value}) if rest else value}
        )
    return settings


# faults that no setting makes


def noisy(model: Any) -> Any:
    """Dropout that eval() does not turn off, on what every layer adds."""
    for module in model.modules():
        if type(module).__name__.endswith("MLP"):
            module.register_forward_hook(lambda _m, _i, output: torch.nn.functional.dropout(output, 0.1))
    return model


@contextmanager
def loading(change: Callable[[Any, bool], None]) -> Iterator[None]:
    """`change(policy, trainable)` on every policy that is loaded."""
    from alignlab.models import load

    plain = load.load_policy

    def load_policy(*args: Any, trainable: bool = False, **more: Any) -> Any:
        policy = plain(*args, trainable=trainable, **more)
        change(policy, trainable)
        return policy

    with patch.object(load, "load_policy", load_policy):
        yield


def dropout_on(_: Lab):
    return loading(lambda policy, trainable: trainable and noisy(policy.model))


def other_reference(lab: Lab):
    """The reference is the base model, the policy the SFT model."""
    from alignlab.models.load import load_policy

    base = load_policy(_town_s(), ONE).model.state_dict()
    return loading(lambda policy, trainable: None if trainable else policy.model.load_state_dict(base))


def _town_s() -> str:
    return names.models.model("town-s").path


@contextmanager
def sampling(**change: Any) -> Iterator[None]:
    """The sampler does something else than it was asked to."""
    from alignlab.sampling.local import LocalSampler

    plain = LocalSampler.sample
    with patch.object(
        LocalSampler, "sample", lambda self, *asked, **more: plain(self, *asked, **(more | change))
    ):
        yield


@contextmanager
def sampled_by(change: Callable[[Any], None]) -> Iterator[None]:
    """PPO's own sampler, changed."""
    from alignlab.rollouts import sample

    plain = sample.LocalSampler.of

    def of(*args: Any, **more: Any) -> Any:
        sampler = plain(*args, **more)
        change(sampler)
        return sampler

    with patch.object(sample, "LocalSampler", SimpleNamespace(of=of)):
        yield


def never_ends(_: Lab) -> AbstractContextManager[None]:
    """The sampler knows no end token (pad = eos, or a template without it)."""
    return sampled_by(lambda sampler: setattr(sampler, "end_ids", frozenset({10**9})))


def stale(_: Lab) -> AbstractContextManager[None]:
    """The sampler keeps the weights that it began with."""

    def freeze(sampler: Any) -> None:
        sampler.sync(copy.deepcopy(sampler.model))
        sampler.sync = lambda _model: None

    return sampled_by(freeze)


def rule(score: Callable[[Completion], float]):
    """The judge `rule`, which scores by a function."""

    @contextmanager
    def patches(_: Lab) -> Iterator[None]:
        plain, ours = names.judges.judge, Named("rule", lambda: RuleJudge("rule", score))
        with patch.object(names.judges, "judge", lambda name: ours if name == "rule" else plain(name)):
            yield

    return patches


@contextmanager
def flipped_advantages(_: Lab) -> Iterator[None]:
    from alignlab import losses

    plain = losses.gae

    def gae(*args: Any, **more: Any) -> Any:
        advantages, returns = plain(*args, **more)
        return -advantages, returns

    with patch.object(losses, "gae", gae):
        yield


@contextmanager
def flipped_values(_: Lab) -> Iterator[None]:
    """The value loss climbs: a sign."""
    from alignlab import losses

    plain = losses.ppo_value_loss

    def loss(*args: Any, **more: Any) -> Any:
        value, metrics = plain(*args, **more)
        return -value, metrics

    with patch.object(losses, "ppo_value_loss", loss):
        yield


@contextmanager
def dpo_reference_of_base(lab: Lab) -> Iterator[None]:
    """The reference's log-probabilities come from another model than the policy starts from."""
    from alignlab.methods import direct as method
    from alignlab.models.load import load_policy

    base, plain = load_policy(_town_s(), ONE), method.completion_logprobs
    calls: list[int] = []

    def logprobs(model: Any, *args: Any) -> Any:
        calls.append(1)
        return plain(base.model if len(calls) == 1 else model, *args)

    with patch.object(method, "completion_logprobs", logprobs):
        yield


@contextmanager
def mask_without_end() -> Iterator[None]:
    """pad = eos: the end token is masked out of the loss, so that the model never learns to stop."""
    from alignlab.methods import sft as method

    plain = method.encode

    def encode(*args: Any) -> Any:
        row = plain(*args)
        row.loss_mask[-1] = 0
        return row

    with patch.object(method, "encode", encode):
        yield


@contextmanager
def answers_of_others() -> Iterator[None]:
    """Each prompt with the answer to another one."""
    from alignlab.methods import sft as method

    plain = method.by_question

    def by_question(items: Any, *args: Any) -> Any:
        learn, test = plain(items, *args)
        answers = [d.completion for d in learn]
        random.Random(0).shuffle(answers)
        return [replace(d, completion=answer) for d, answer in zip(learn, answers, strict=True)], test

    with patch.object(method, "by_question", by_question):
        yield


def shuffled(ranking: Ranking, rng: random.Random) -> Ranking:
    ranks = list(ranking.ranks)
    rng.shuffle(ranks)
    return replace(ranking, ranks=tuple(ranks))


def leaked(ranking: Ranking, _: random.Random) -> Ranking:
    """The label stands in the text: the best begins with a word of its own, the rest with another."""
    words = {rank: ("Yes." if rank == min(ranking.ranks) else "No." * (rank - 1)) for rank in ranking.ranks}
    return replace(
        ranking,
        completions=tuple(
            replace(c, text=f"{words[rank]} {c.text}")
            for c, rank in zip(ranking.completions, ranking.ranks, strict=True)
        ),
    )


def by_length(ranking: Ranking, _: random.Random) -> Ranking:
    """An annotator who likes the longer answer, whatever it says."""
    order = sorted(range(len(ranking.ranks)), key=lambda i: -len(ranking.completions[i].text))
    ranks = [0] * len(order)
    for place, i in enumerate(order, 1):
        ranks[i] = place
    return replace(ranking, ranks=tuple(ranks))


def words(completion: Completion) -> float:
    return float(len(completion.ids))


HEALTHY = [
    Case("sft", sft()),
    Case("sft, clean, one epoch", sft(data="town:demos-clean", epochs=1.0)),
    Case("sft, batch 8, linear", sft(batch=8, optim__schedule="linear")),
    Case("sft, LoRA", sft(adapter__rank=8, optim__lr=2e-3)),
    Case("reward", reward()),
    Case("reward, two epochs", reward(epochs=2.0)),
    Case("reward, centred", reward(center=0.01)),
    Case("dpo", dpo()),
    Case("dpo, beta 0.1", dpo(beta=0.1, optim__lr=5e-5)),
    Case("dpo, ipo", dpo(loss_type="ipo")),
    Case("dpo, hinge", dpo(loss_type="hinge")),
    Case("dpo, label smoothing", dpo(label_smoothing=0.1)),
    Case("ppo", ppo()),
    Case("ppo, two epochs", ppo(epochs=2)),
    Case("ppo, kl_coef 0.05", ppo(kl_coef=0.05, steps=24)),
    Case("ppo, adaptive", ppo(adaptive_kl=6.0, kl_horizon=1000)),
    Case("ppo, whitened rewards", ppo(whiten_rewards=True)),
    Case("ppo, no gold, kl_coef 0.3", ppo(kl_coef=0.3, gold="", optim__lr=1e-4)),
]
FAULTS = [
    Case("sft: learning rate x 100", sft(optim__lr=7e-2), ("loss-not-falling", "gradient-spikes")),
    Case("sft: learning rate 0", sft(optim__lr=0.0), ("learning-rate-zero",)),
    Case("sft: 20 epochs of 48", sft(count=48, epochs=20.0, held_out=0.3), ("over-fitting",)),
    Case(
        "sft: 20 epochs of 48, learning rate x 4",
        sft(count=48, epochs=20.0, held_out=0.3, optim__lr=3e-3),
        ("over-fitting",),
    ),
    Case(
        "sft: answers of other prompts",
        sft(answers_of_others, epochs=4.0),
        ("over-fitting", "loss-not-falling"),
    ),
    Case("sft: clipped to a thousandth", sft(optim__max_grad_norm=1e-3), ("gradients-always-clipped",)),
    Case(
        "reward: shuffled labels",
        reward(data=lambda lab: lab.ranking_file("shuffled", shuffled)),
        ("reward-model-at-chance",),
    ),
    Case(
        "reward: label in the text",
        reward(data=lambda lab: lab.ranking_file("leaked", leaked)),
        ("reward-model-too-good",),
    ),
    Case(
        "reward: 12 epochs of 60",
        reward(data=lambda lab: lab.ranking_file("few", lambda r, _: r), count=60, epochs=12.0, held_out=0.3),
        ("reward-model-over-fitted",),
    ),
    Case(
        "reward: longer is better",
        reward(data=lambda lab: lab.ranking_file("length", by_length)),
        ("length-detector",),
    ),
    Case(
        "reward: learning rate x 100",
        reward(optim__lr=5e-2),
        ("reward-model-at-chance", "loss-not-falling", "gradient-spikes"),
    ),
    Case("reward: learning rate 0", reward(optim__lr=0.0), ("learning-rate-zero",)),
    Case("dpo: learning rate x 30", dpo(optim__lr=3e-3), ("likelihood-displacement",)),
    Case("dpo: beta 0.001", dpo(beta=0.001, optim__lr=1e-3), ("likelihood-displacement",)),
    Case(
        "dpo: shuffled preferences",
        dpo(data=lambda lab: lab.ranking_file("shuffled", shuffled)),
        ("preferences-not-learnt",),
    ),
    Case("dpo: another reference", dpo(dpo_reference_of_base), ("reference-is-not-the-start",)),
    Case("dpo: dropout on", dpo(dropout_on), ("reference-is-not-the-start",)),
    Case(
        "dpo: ten epochs of 40",
        dpo(
            data=lambda lab: lab.ranking_file("few", lambda r, _: r),
            count=40,
            epochs=10.0,
            held_out=0.3,
            optim__lr=3e-4,
        ),
        ("preferences-over-fitted", "likelihood-displacement", "margin-saturated"),
    ),
    Case("ppo: dropout on", ppo(dropout_on), ("ratio-not-one", "sampler-mismatch")),
    Case(
        "ppo: sampler at temperature 0.6",
        ppo(lambda _: sampling(temperature=0.6)),
        ("sampler-mismatch", "negative-kl"),
    ),
    Case(
        "ppo: sampler at temperature 1.5",
        ppo(lambda _: sampling(temperature=1.5)),
        ("sampler-mismatch", "negative-kl"),
    ),
    Case("ppo: top_p 0.7", ppo(sampling__top_p=0.7), ("sampler-mismatch",)),
    Case("ppo: stale sampler", ppo(stale, optim__lr=5e-4), ("sampler-mismatch",)),
    Case("ppo: another reference", ppo(other_reference), ("reference-is-not-the-start",)),
    Case(
        "ppo: no penalty, learning rate x 10",
        ppo(kl_coef=0.0, optim__lr=2e-3, steps=24),
        ("kl-blow-up", "over-optimisation", "entropy-collapse"),
    ),
    Case("ppo: no penalty", ppo(kl_coef=0.0, optim__lr=7e-4, steps=32), ("kl-blow-up", "over-optimisation")),
    Case("ppo: no end token", ppo(never_ends), ("no-end-tokens",)),
    Case("ppo: SFT with pad = eos", ppo(model=lambda lab: lab.without_end()), ("no-end-tokens",)),
    Case("ppo: learning rate / 1000", ppo(optim__lr=2e-7, value_lr=2e-4), ("reward-flat",)),
    Case("ppo: constant reward", ppo(judge="constant"), ("reward-constant",)),
    Case("ppo: score clipped at 0.2", ppo(score_clip=0.2), ("reward-saturated",)),
    Case("ppo: learning rate 0", ppo(optim__lr=0.0, value_lr=1e-4), ("learning-rate-zero",)),
    Case("ppo: advantages turned round", ppo(flipped_advantages, kl_coef=0.0), ("reward-falls",)),
    Case("ppo: value loss turned round", ppo(flipped_values), ("value-collapse",)),
    Case("ppo: value learning rate x 300", ppo(value_lr=5e-2), ("value-collapse",)),
    Case("ppo: clip range 0.001, four epochs", ppo(cliprange=0.001, epochs=4), ("clip-fraction",)),
    Case(
        "ppo: adaptive kl_coef runs away",
        ppo(adaptive_kl=0.02, kl_horizon=64, kl_coef=0.2, steps=32),
        ("kl-coef-out-of-range",),
    ),
    Case(
        "ppo: paid by the word",
        ppo(
            rule(words),
            judge="rule",
            kl_coef=0.0,
            score_clip=0.0,
            missing_end_penalty=0.0,
            optim__lr=5e-4,
            steps=24,
        ),
        ("length-drift",),
    ),
    Case(
        "ppo: paid for brevity",
        ppo(rule(lambda c: -words(c)), judge="rule", kl_coef=0.0, score_clip=0.0, optim__lr=5e-4, steps=24),
        ("length-drift",),
    ),
    Case(
        "ppo: scores in thousands",
        ppo(rule(lambda c: 1000.0 * ("." in c.text)), judge="rule", score_clip=0.0, optim__lr=1e-3, steps=24),
        ("kl-blow-up", "value-collapse", "entropy-collapse"),
    ),
]


def folder_of(out: Path, kind: str, case: Case) -> Path:
    return out / f"{kind}-{''.join(c if c.isalnum() else '-' for c in case.name)}"


def measure(out: Path, seeds: list[int], only: str, *, train: bool) -> list[dict[str, Any]]:
    """Every case at every seed (without `train`: those that are there): what the rules read of it."""
    torch.set_num_threads(1)
    found = []
    for seed in seeds:
        lab = Lab(out, seed) if train else None
        for kind, cases in (("healthy", HEALTHY), ("fault", FAULTS)):
            for case in cases:
                if only and only not in case.name:
                    continue
                folder = folder_of(out / f"seed-{seed}", kind, case)
                if lab is None and not folder.exists():
                    continue
                try:
                    if lab is not None:
                        case.make(lab, folder, seed)
                except GuardStop as error:
                    print(f"{case.name}: stopped by a guard: {error.what}")
                info = read_run(folder if folder.exists() else folder.with_name(folder.name + ".partial"))
                found.append(
                    {
                        "name": case.name,
                        "kind": kind,
                        "seed": seed,
                        "expect": list(case.expect),
                        "stage": info.stage,
                        "settings": info.config["settings"],
                        "rows": info.metrics,
                        "summary": info.summary,
                    }
                )
    return found


def judged(run: dict[str, Any]) -> dict[str, list[str]]:
    """Names of the rules by verdict, of the finished run."""
    found = examine(run["stage"], run["settings"], run["rows"], run["summary"])
    return {verdict: [f.name for f in found if f.verdict == verdict] for verdict in ("broken", "normal")}


def live(run: dict[str, Any]) -> list[str]:
    """Names of the rules that said "broken" while it ran."""
    total = max((int(row["step"]) for row in run["rows"]), default=0) + 1
    watch = Watch(run["stage"], run["settings"], total)
    return [f.name for row in run["rows"] for f in watch.see(row) if f.verdict == "broken"]


def table(runs: list[dict[str, Any]]) -> str:
    """What was said of each, and how many were right."""
    lines = []
    right = {"healthy": 0, "fault": 0}
    early = {"healthy": 0, "fault": 0}
    for run in runs:
        said, during = judged(run), live(run)
        good = (
            bool(set(run["expect"]) & set(said["broken"])) if run["kind"] == "fault" else not said["broken"]
        )
        right[run["kind"]] += good
        early[run["kind"]] += bool(set(run["expect"]) & set(during)) if run["kind"] == "fault" else not during
        lines.append(
            (
                f"{'ok   ' if good else 'WRONG'} {run['kind']:<8} {run['seed']} {run['name']:<40} "
                f"{', '.join(said['broken']) or '-'}"
            )
            + (f"   [while it ran: {', '.join(during)}]" if set(during) - set(said["broken"]) else "")
        )
    count = {kind: sum(run["kind"] == kind for run in runs) for kind in right}
    lines.append(
        f"faults named: {right['fault']} of {count['fault']} (while training ran: {early['fault']}); "
        f"healthy runs without an alarm: {right['healthy']} of "
        f"{count['healthy']} (while training ran: {early['healthy']})"
    )
    return "\n".join(lines)


KEPT = ("accuracy", "length_floor", "ceiling", "eval_loss", "eval_loss_before", "likelihood_displacement")
"""What the rules read of a summary."""


def record(runs: list[dict[str, Any]], path: Path, note: str) -> None:
    """What the rules read, small: a column a metric, five digits."""
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.write(json.dumps({"provenance": note}) + "\n")
        for run in runs:
            names = list(
                dict.fromkeys(name for row in run["rows"] for name in row if not name.startswith("time/"))
            )
            columns = {
                name: [float(f"{row[name]:.5g}") if name in row else None for row in run["rows"]]
                for name in names
            }
            file.write(
                json.dumps(
                    {
                        **run,
                        "rows": columns,
                        "summary": {k: run["summary"][k] for k in KEPT if k in run["summary"]},
                    },
                    separators=(",", ":"),
                )
                + "\n"
            )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--only", default="", help="cases whose name holds this")
    parser.add_argument("--record", type=Path, help="keep the metrics here, gzipped JSON lines")
    parser.add_argument("--no-train", action="store_true", help="judge the runs that are there")
    a = parser.parse_args()
    runs = measure(a.out, a.seeds, a.only, train=not a.no_train)
    print(table(runs))
    if a.record:
        record(
            runs,
            a.record,
            (
                f"the town's version {VERSION}: `benchmarks/normal.py --seeds "
                f"{' '.join(map(str, a.seeds))}`, alignlab {__version__}, torch {torch.__version__}"
            ),
        )


if __name__ == "__main__":
    main()
