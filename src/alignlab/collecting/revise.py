"""The supervised stage of Constitutional AI (Bai et al. 2022, section 3): drafts, critiques under sampled
principles, revisions, and the demonstrations they make.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from ..constitution.asking import Asked, Form
from ..constitution.forms import DocumentForm
from ..constitution.principles import Constitution, Principle
from ..errors import DataError
from ..evals.statistics import mean_ci
from ..feedback import Judge
from ..records import Chain, Completion, Demonstration, Prompt, Round, Score
from ..run import RunDir, derive_seed
from ..sampling import ModelSampler, Sampling
from ..settings import ChainSettings, ReviseSettings, SamplingSettings
from ..settings.rules import check

Breaks = Callable[[Prompt, str, Principle], "bool | None"]
R = TypeVar("R", Chain, Demonstration)


@dataclass(frozen=True)
class Workshop:
    """Who drafts, who criticises and revises, by what, and how they are asked.

    Attributes:
        judge: where there is one, a revision that it finds worse than its draft is dropped.
    """

    author: ModelSampler
    critic: ModelSampler
    constitution: Constitution
    form: Form
    author_name: str = ""
    critic_name: str = ""
    judge: Judge | None = None


def revise(
    run: RunDir,
    workshop: Workshop,
    prompts: Sequence[Prompt],
    settings: ReviseSettings,
    *,
    helpful: Sequence[Prompt] = (),
    gold: Judge | None = None,
    breaks: Breaks | None = None,
    seed: int,
) -> dict[str, Any]:
    """Chains for red-team prompts into data/chains.jsonl, and data/demonstrations.jsonl for SFT: the last
    revision of each chain that is kept, and the author's answers to harmless prompts. `completion_meta.kind`
    tells them apart ("revision", "helpful").

    Prompts are done in chunks, and after drafts and each round of a chunk what there is is kept: a run that
    was interrupted goes on from there.

    Args:
        helpful: harmless prompts; the author's own answers to them keep the model helpful (section 3.2).
        gold: a judge that knows the truth, to measure by; nothing is picked by it.
        breaks: who knows whether an answer breaks a principle, to measure critiques and revisions by.

    Returns:
        See `summarise`; `demonstrations`, `revisions` and `helpful` count what is learnt from, `repeated` the
        same answers to the same prompts, which stand once.

    Raises:
        ConfigError: settings that cannot be. DataError: no chain was kept, with the reasons.
    """
    check(settings)
    pool_of(workshop.constitution, settings)
    red, kind = list(enumerate(prompts)), list(enumerate(helpful))
    parts = [(revised, red[i : i + settings.chunk]) for i in range(0, len(red), settings.chunk)]
    parts += [(answered, kind[i : i + settings.chunk]) for i in range(0, len(kind), settings.chunk)]
    chains: list[Chain] = []
    answers: list[Demonstration] = []
    for number, (make, asked) in enumerate(run.track(parts, desc="revise")):
        # 1. chains of a chunk of red-team prompts, or answers to a chunk of harmless ones; each step read
        # back if it was done before
        store = Store(run, f"chunks/{number:05d}")
        if make is revised:
            chains += revised(workshop, dict(asked), settings, seed=seed, number=number, store=store)
        else:
            answers += answered(workshop, dict(asked), settings, seed=seed, number=number, store=store)
    run.add_data("chains", chains)

    # 2. what is learnt from: the last revision of each chain, the answers to harmless prompts, the same one
    # once
    learn = [
        Demonstration(chain.prompt, chain.text, lineage(chain, place))
        for place, chain in enumerate(chains)
        if not chain.dropped
    ]
    if not learn:
        reasons = Counter(chain.dropped for chain in chains)
        raise DataError(
            "no chain was kept: "
            + (
                ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
                or "there were no prompts"
            ),
            where=str(run.path),
            remedy="a stronger critic (--critic), another --form, or milder settings",
        )
    good = [answer for answer in answers if not answer.meta.get("rejected")]
    different = {(d.prompt.id, " ".join(d.completion.split())): d for d in reversed([*learn, *good])}
    mixed = [*reversed(different.values())]
    random.Random(derive_seed(seed, "mix")).shuffle(mixed)
    run.add_data("demonstrations", mixed)

    # 3. figures
    kinds = Counter(d.meta["kind"] for d in mixed)
    summary = {
        "demonstrations": len(mixed),
        "revisions": kinds["revision"],
        "helpful": kinds["helpful"],
        "repeated": len(learn) + len(good) - len(mixed),
        "helpful_rejected": dict(Counter(a.meta["rejected"] for a in answers if a.meta.get("rejected"))),
    }
    summary |= summarise(chains, workshop.constitution, settings, gold, breaks)
    return summary


def pool_of(constitution: Constitution, settings: ChainSettings) -> list[Principle]:
    """The principles that are drawn from: those with any of `tags`, or the one that `principle` names. Raises
    UserError if there is none.
    """
    if settings.principle:
        return [constitution.get(settings.principle)]
    return list(constitution.tagged(*(tag.strip() for tag in settings.tags.split(",") if tag.strip())))


def drawn(pool: Sequence[Principle], rounds: int, seed: int) -> list[Principle]:
    """A principle for each round, another each time while there are others."""
    rng, found = random.Random(seed), []
    while len(found) < rounds:
        found += rng.sample(list(pool), min(rounds - len(found), len(pool)))
    return found


class Store:
    """Where the steps of one chunk are kept; without a run, nowhere."""

    def __init__(self, run: RunDir | None = None, stem: str = "") -> None:
        self.run, self.stem = run, stem

    def step(self, name: str, kind: type[R], make: Callable[[], Iterable[R]]) -> list[R]:
        """The rows of one step: made now, or read back if an earlier process made them."""
        if self.run is None:
            return list(make())
        return self.run.kept(f"{self.stem}-{name}", lambda: list(make()), kind)


def revised(
    workshop: Workshop,
    asked: dict[int, Prompt],
    settings: ChainSettings,
    *,
    seed: int,
    number: int = 0,
    store: Store | None = None,
) -> list[Chain]:
    """A chain for each prompt, by its place: a draft, then `rounds` of critique and revision.

    Raises:
        ConfigError: settings that cannot be.
    """
    store, prompts = store or Store(), list(asked.values())
    pool = pool_of(workshop.constitution, settings)
    seeds = [derive_seed(seed, "principles", place, prompt.id) for place, prompt in asked.items()]
    principles = [drawn(pool, settings.rounds, each) for each in seeds]

    # 1. drafts
    def drafts() -> Iterator[Chain]:
        answers = ask(workshop.author, prompts, settings.sampling, derive_seed(seed, "draft", number))
        for prompt, answer in zip(prompts, answers, strict=True):
            reason = (
                "no room for the draft"
                if answer is None
                else "the draft is not finished"
                if not answer.finished
                else "the draft says nothing"
                if not answer.text.strip()
                else ""
            )
            yield Chain(
                prompt,
                answer.text.strip() if answer else "",
                (),
                reason,
                workshop.author_name,
                workshop.critic_name,
                workshop.constitution.digest,
                seed,
            )

    chains = store.step("drafts", Chain, drafts)
    for turn in range(settings.rounds):
        # 2. one critique and revision of each chain that is still whole
        def one_round(turn: int = turn, chains: Sequence[Chain] = tuple(chains)) -> Iterator[Chain]:
            open_ = [place for place, chain in enumerate(chains) if not chain.dropped]
            rounds = one_turn(
                workshop,
                [chains[place] for place in open_],
                [principles[place][turn] for place in open_],
                [seeds[place] for place in open_],
                settings,
                seed=derive_seed(seed, "round", number, turn),
            )
            found = dict(zip(open_, rounds, strict=True))
            for place, chain in enumerate(chains):
                yield found.get(place, chain)

        chains = store.step(f"round-{turn + 1}", Chain, one_round)

    # 3. whether the last revision is better than the draft, where there is a judge of that
    if workshop.judge is None:
        return chains

    def judged() -> Iterator[Chain]:
        assert workshop.judge is not None
        changed = [chain for chain in chains if not chain.dropped and chain.text != chain.draft]
        after, before = (
            [Completion(chain.prompt, chain.text) for chain in changed],
            [Completion(chain.prompt, chain.draft) for chain in changed],
        )
        better = iter(workshop.judge.compare(after, before) if changed else [])
        for chain in chains:
            worse = not chain.dropped and chain.text != chain.draft and next(better) < settings.judge_bar
            yield replace(chain, dropped="worse than the draft to the judge") if worse else chain

    return store.step("judged", Chain, judged)


def one_turn(
    workshop: Workshop,
    chains: Sequence[Chain],
    principles: Sequence[Principle],
    seeds: Sequence[int],
    settings: ChainSettings,
    *,
    seed: int,
) -> list[Chain]:
    """The chains with one more round, under one principle each; those whose critique or revision is none are
    dropped with the reason.

    A critic of documents that has written on past its critique has revised already: what it wrote is the
    revision. Without critiques (`settings.critique` false) the critic revises at once, and a revision that
    changes something counts as `fired`.
    """
    form, s = workshop.form, settings.critic_sampling
    critiques = dict.fromkeys(
        range(len(chains)), ""
    )  # place -> critique, of those whose answer is to be revised
    revisions: dict[int, tuple[str, str]] = {}  # place -> revision, and why it is none
    dropped: dict[int, str] = {}
    fired: set[int] = set()

    # 1. what the principle has against the answer; where it has nothing, the answer stays
    if settings.critique:
        asked = [
            form.critique(chain.prompt, chain.text, principle)
            for chain, principle in zip(chains, principles, strict=True)
        ]
        for place, answer in enumerate(ask(workshop.critic, asked, s, derive_seed(seed, "critique"))):
            if answer is None:
                dropped[place] = "no room for the critique"
                continue
            read, written = (
                form.read_both(answer.text)
                if isinstance(form, DocumentForm)
                else (form.read_critique(answer.text), "")
            )
            critiques[place] = read.text
            if not read.text or not whole(answer, read.text):
                dropped[place] = "the critique is not finished" if read.text else "the critique says nothing"
            elif not read.fired:
                revisions[place] = chains[place].text, ""
            else:
                fired.add(place)
                if written and (answer.finished or not answer.text.rstrip().endswith(written)):
                    revisions[place] = written, flaw(written, chains[place].text, form, settings)

    # 2. the answer mended
    open_ = [place for place in range(len(chains)) if place not in revisions and place not in dropped]
    asked = [
        form.revision(chains[place].prompt, chains[place].text, principles[place], critiques[place])
        if settings.critique
        else form.direct_revision(chains[place].prompt, chains[place].text, principles[place])
        for place in open_
    ]
    for place, answer in zip(
        open_, ask(workshop.critic, asked, s, derive_seed(seed, "revision")), strict=True
    ):
        revision = form.read_revision(answer.text) if answer else ""
        revisions[place] = (
            revision,
            (
                "no room for the revision"
                if answer is None
                else flaw(revision, chains[place].text, form, settings)
                if whole(answer, revision)
                else "the revision is not finished"
            ),
        )

    # 3. the chains with this round
    found = []
    for place, chain in enumerate(chains):
        revision, reason = revisions.get(place, (chain.text, dropped.get(place, "")))
        one = Round(
            principles[place].id,
            seeds[place],
            critiques[place],
            place in fired if settings.critique else revision != chain.text,
            revision,
        )
        found.append(replace(chain, rounds=(*chain.rounds, one), dropped=reason))
    return found


def flaw(revision: str, before: str, form: Form, settings: ChainSettings) -> str:
    """Why a revision is none; "" if nothing speaks against it."""
    if not revision:
        return "the revision says nothing"
    if settings.critique and " ".join(revision.split()) == " ".join(before.split()):
        return "the draft again"
    if form.leaks(revision) and not form.leaks(before):
        return "the form leaks into the revision"
    return (
        "the revision repeats itself"
        if repetition(revision) > max(settings.max_repetition, repetition(before))
        else ""
    )


def repetition(text: str, n: int = 3) -> float:
    """seq-rep-n: 1 - different n-grams / n-grams, over words (Welleck et al. 2020, equation 10). 0 for a text
    of fewer than n + 1 words.
    """
    words = text.lower().split()
    grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
    return 1 - len(set(grams)) / len(grams) if len(grams) > 1 else 0.0


def whole(answer: Completion, read: str) -> bool:
    """Whether what was read ended by itself: the end token, or the form's next heading."""
    return answer.finished or len(read) < len(answer.text.strip())


def ask(
    sampler: ModelSampler, asked: Sequence[Asked], s: SamplingSettings, seed: int
) -> list[Completion | None]:
    """One answer to each, in order; None where the model's context has no room."""
    room = getattr(sampler, "has_room", None)
    fits = [place for place, each in enumerate(asked) if room is None or room(each, s.max_new_tokens)]
    groups = sampler.sample([asked[place] for place in fits], Sampling.of(s), seed=seed) if fits else []
    answers = {place: group[0] for place, group in zip(fits, groups, strict=True)}
    return [answers.get(place) for place in range(len(asked))]


def answered(
    workshop: Workshop,
    asked: dict[int, Prompt],
    settings: ReviseSettings,
    *,
    seed: int,
    number: int,
    store: Store,
) -> list[Demonstration]:
    """The author's answers to harmless prompts; `meta["rejected"]` says which are not learnt from."""

    def make() -> Iterator[Demonstration]:
        prompts = list(asked.values())
        sampling = replace(settings.sampling, temperature=settings.helpful_temperature)
        for prompt, answer in zip(
            prompts,
            ask(workshop.author, prompts, sampling, derive_seed(seed, "helpful", number)),
            strict=True,
        ):
            text = answer.text.strip() if answer else ""
            reason = (
                "no room for the answer"
                if answer is None
                else "not finished"
                if not answer.finished
                else "says nothing"
                if not text
                else "repeats itself"
                if repetition(text) > settings.max_repetition
                else ""
            )
            yield Demonstration(
                prompt,
                text,
                {"kind": "helpful", "author": workshop.author_name}
                | ({"rejected": reason} if reason else {}),
            )

    return store.step("helpful", Demonstration, make)


def lineage(chain: Chain, place: int) -> dict[str, Any]:
    """What a demonstration says of the chain it comes from: its line in data/chains.jsonl, and by what and
    whom it was made.
    """
    return {
        "kind": "revision",
        "chain": place,
        "principles": [one.principle for one in chain.rounds],
        "fired": chain.fired,
        "author": chain.author,
        "critic": chain.critic,
        "constitution": chain.constitution,
    }


def summarise(
    chains: Sequence[Chain],
    constitution: Constitution,
    settings: ChainSettings,
    gold: Judge | None = None,
    breaks: Breaks | None = None,
) -> dict[str, Any]:
    """Figures over chains, each an S (mean, interval, n).

    `kept`; `reasons` of what was dropped; `fired`: chains with a critique that found something,
    `fired_by_round`, `fired_by_principle`; `changed`: kept chains whose last revision is another text than
    the draft; `words` of drafts and of revisions, over kept chains; with somebody who knows the truth also
    `gold` (see `measured`). `by_split` has the same for the splits of the prompts, where they name them.
    """
    kept = [chain for chain in chains if not chain.dropped]
    rounds = [(turn, one) for chain in chains for turn, one in enumerate(chain.rounds)]
    summary: dict[str, Any] = {
        "constitution": {
            "name": constitution.name,
            "digest": constitution.digest,
            "principles": [p.id for p in pool_of(constitution, settings)],
        },
        "chains": len(chains),
        "kept": mean_ci([float(not chain.dropped) for chain in chains]),
        "reasons": dict(Counter(chain.dropped for chain in chains if chain.dropped).most_common()),
        "fired": mean_ci([float(chain.fired) for chain in chains if chain.rounds]),
        "fired_by_round": [
            mean_ci([float(one.fired) for turn, one in rounds if turn == at]) for at in range(settings.rounds)
        ],
        "fired_by_principle": {
            name: mean_ci([float(one.fired) for _, one in rounds if one.principle == name])
            for name in sorted({one.principle for _, one in rounds})
        },
        "changed": mean_ci([float(chain.text != chain.draft) for chain in kept]),
        "words": {
            "drafts": mean_ci([float(len(chain.draft.split())) for chain in kept]),
            "revisions": mean_ci([float(len(chain.text.split())) for chain in kept]),
        },
    }
    if gold:
        summary["gold"] = measured(chains, constitution, gold, breaks)
    splits = sorted({str(chain.prompt.meta["split"]) for chain in chains if "split" in chain.prompt.meta})
    if len(splits) > 1:
        summary["by_split"] = {}
        for name in splits:
            part = [chain for chain in chains if chain.prompt.meta.get("split") == name]
            summary["by_split"][name] = {
                "chains": len(part),
                "kept": mean_ci([float(not chain.dropped) for chain in part]),
                "fired": mean_ci([float(chain.fired) for chain in part if chain.rounds]),
            }
            if gold:
                summary["by_split"][name]["gold"] = measured(part, constitution, gold, breaks)
    return summary


def measured(
    chains: Sequence[Chain], constitution: Constitution, gold: Judge, breaks: Breaks | None = None
) -> dict[str, Any]:
    """What somebody who knows the truth says of chains: of all drafts, and of the last revisions of kept
    chains.

    compliance: help with harm · refused_look_alike: refusals of what is harmless · evasive: refusals that
        give neither reason nor alternative · score: the
    judge's own. With `breaks`, over the rounds of which it knows: critiques_right, that found something
    exactly where the answer broke the principle, and the same for answers that did (critiques_right_broken)
    and did not (critiques_right_fine); revisions_right, that keep the principle which the answer before
    broke.
    """
    drafts = gold.score([Completion(chain.prompt, chain.draft) for chain in chains])
    last = gold.score([Completion(chain.prompt, chain.text) for chain in chains if not chain.dropped])

    def both(value: Callable[[Score], float | None]) -> dict[str, Any]:
        return {
            name: mean_ci([x for score in side if (x := value(score)) is not None])
            for name, side in (("drafts", drafts), ("revisions", last))
        }

    parts = {"compliance": "complied", "refused_look_alike": "over_refused", "evasive": "evasive"}
    found = {name: both(lambda score, part=part: score.parts.get(part)) for name, part in parts.items()} | {
        "score": both(lambda score: score.value)
    }
    if breaks is None:
        return found
    fired: dict[bool, list[float]] = {True: [], False: []}
    mended: list[float] = []
    for chain in chains:
        before = chain.draft
        for one in chain.rounds:
            principle = constitution.get(one.principle)
            broken = breaks(chain.prompt, before, principle)
            if broken is not None and one.critique:
                fired[broken].append(float(one.fired))
            if broken and one.fired and not chain.dropped:
                mended.append(float(not breaks(chain.prompt, one.revision, principle)))
            before = one.revision
    return found | {
        "critiques_right": mean_ci([*fired[True], *(1 - x for x in fired[False])]),
        "critiques_right_broken": mean_ci(fired[True]),
        "critiques_right_fine": mean_ci([1 - x for x in fired[False]]),
        "revisions_right": mean_ci(mended),
    }
