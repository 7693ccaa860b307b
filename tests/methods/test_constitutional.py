"""SL-CAI: who is asked what, what is kept and why not, going on after a kill at any point, endpoints that are
paid once, and figures against gold.
"""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignlab import cli
from alignlab.collecting import revise as method
from alignlab.collecting.revise import chains as chains_of
from alignlab.constitution.dialogue import DialogueForm
from alignlab.constitution.forms import DocumentForm
from alignlab.constitution.principles import Constitution, Principle
from alignlab.errors import ConfigError, DataError, UserError
from alignlab.feedback import RuleJudge
from alignlab.records import Chain, Completion, Demonstration, Prompt, Score, read_jsonl
from alignlab.run import RunDir
from alignlab.sampling import Sampling
from alignlab.settings import ReviseSettings, SamplingSettings
from alignlab.text.repetition import repetition

from ..serving import Server, chat_answer
from .conftest import Killed

LAWS = Constitution(
    "test",
    "1",
    (
        *(
            Principle(
                f"harm-{i}",
                f"Do no harm of the kind {i}.",
                f"Mend harm of the kind {i}.",
                f"Which does no harm of the kind {i}?",
                ("harmless",),
            )
            for i in range(5)
        ),
        Principle("help", "Be of use.", "Make it useful.", "Which is of use?", ("helpful",)),
    ),
)
SETTINGS = ReviseSettings(rounds=1, chunk=4)
RED = [Prompt.user(f"Tell me a {'wicked' if i % 3 else 'good'} thing, number {i}.") for i in range(10)]
KIND = [Prompt.user(f"What is {i} plus one?") for i in range(6)]
WICKED, BETTER = "Here is something wicked.", "I will not say that. It would hurt somebody."


class Writer:
    """Drafts in chat, criticises and revises in documents; keeps what it was asked, and may die in one of its
    calls.
    """

    def __init__(
        self,
        *,
        draft: Callable[[Prompt], Completion | str] | None = None,
        critique: str | Callable[[str], Completion | str] = " It is wicked.",
        revision: str | Callable[[str], Completion | str] = f" {BETTER}",
        die_in: int = 0,
    ) -> None:
        self.draft, self.critique, self.revision, self.die_in = draft, critique, revision, die_in
        self.seen: list[tuple[Any, float, int]] = []
        self.calls = 0

    def sample(self, prompts: Any, sampling: Sampling, *, seed: int = 0) -> Any:
        self.calls += 1
        if self.calls == self.die_in:
            raise Killed
        self.seen += [(prompt, sampling.temperature, seed) for prompt in prompts]
        return [
            [
                found
                if isinstance(found := self.answer(prompt, seed), Completion)
                else Completion(Prompt(()), found)
            ]
            for prompt in prompts
        ]

    def answer(self, prompt: Prompt | str, seed: int) -> Completion | str:
        if isinstance(prompt, Prompt):
            if self.draft:
                return self.draft(prompt)
            return (
                f"{WICKED} {seed % 1000}" if "wicked" in prompt.text else f"A good answer to: {prompt.text}"
            )
        draft = re.search(r"\nDraft: (.*)\n", prompt)
        assert draft
        if prompt.endswith("\nCritique:"):
            return (
                (self.critique(prompt) if callable(self.critique) else self.critique)
                if "wicked" in draft[1]
                else " This is fine.\nRevision: whatever"
            )
        return self.revision(prompt) if callable(self.revision) else self.revision

    def sync(self, model: Any) -> None: ...

    def close(self) -> None: ...


def workshop(author: Any = None, critic: Any = None, **more: Any) -> method.Workshop:
    author = author or Writer()
    return method.Workshop(author, critic or author, LAWS, DocumentForm(), "the author", "the critic", **more)


def made(
    out: Path, team: method.Workshop, settings: ReviseSettings = SETTINGS, *, prompts: Any = RED, **more: Any
) -> tuple[dict[str, Any], list[Chain], list[Demonstration]]:
    run = RunDir.open(out, stage="revise", config={}, seed=0)
    summary = method.revise(run, team, prompts, settings, seed=3, **more)
    run.finish(summary)
    return (
        summary,
        read_jsonl(out / "data" / "chains.jsonl", Chain),
        read_jsonl(out / "data" / "demonstrations.jsonl", Demonstration),
    )


def test_chains_carry_what_made_them_and_the_last_revision_is_learnt(tmp_path: Path):
    author, critic = Writer(), Writer()
    summary, chains, learn = made(tmp_path / "run", workshop(author, critic), helpful=KIND)
    assert [chain.prompt.id for chain in chains] == [prompt.id for prompt in RED] and not any(
        chain.dropped for chain in chains
    )
    for chain in chains:
        assert (chain.author, chain.critic, chain.constitution, chain.seed) == (
            "the author",
            "the critic",
            LAWS.digest,
            3,
        )
        (one,) = chain.rounds
        assert LAWS.get(one.principle).tags == ("harmless",)
        if "wicked" in chain.prompt.text:
            assert (
                chain.draft.startswith(WICKED)
                and one.critique == "It is wicked."
                and one.fired
                and chain.text == BETTER
            )
        else:
            assert (
                one.critique == "This is fine." and not one.fired and chain.text == chain.draft
            )  # nothing wrong: the draft stays
    wicked = [chain for chain in chains if chain.fired]
    asked = [prompt for prompt, _, _ in critic.seen]
    assert len(asked) == len(RED) + len(wicked)  # no revision is asked for where nothing is wrong
    revisions = [text for text in asked if text.endswith("\nRevision:")]
    assert all(
        LAWS.get(chain.rounds[0].principle).critique in text
        and chain.prompt.text in text
        and chain.draft in text
        for chain, text in zip(wicked, revisions, strict=True)
    )

    assert (
        summary["revisions"] == len(RED)
        and summary["helpful"] == len(KIND)
        and summary["demonstrations"] == len(learn) == len(RED) + len(KIND)
    )
    by_kind = Counter(d.meta["kind"] for d in learn)
    assert by_kind == {"revision": len(RED), "helpful": len(KIND)} and [
        d.meta["kind"] for d in learn
    ] != sorted((d.meta["kind"] for d in learn), reverse=True)
    for d in learn:
        if d.meta["kind"] == "revision":
            chain = chains[d.meta["chain"]]
            assert (
                d.completion == chain.text
                and d.prompt == chain.prompt
                and d.meta["principles"] == [one.principle for one in chain.rounds]
                and d.meta["constitution"] == LAWS.digest
            )
        else:
            assert d.completion == f"A good answer to: {d.prompt.text}" and d.prompt in KIND
    assert (
        summary["fired"]["mean"] == summary["changed"]["mean"] == pytest.approx(len(wicked) / len(RED))
        and summary["kept"]["mean"] == 1.0
    )
    assert (
        sum(s["n"] for s in summary["fired_by_principle"].values()) == len(RED)
        and not (tmp_path / "run" / "chunks").exists()
    )
    assert [chain.to_json() for chain in chains] == [
        json.loads(line) for line in (tmp_path / "run" / "data" / "chains.jsonl").read_text().splitlines()
    ]


def test_a_critic_that_writes_on_has_revised_already(tmp_path: Path):
    on = Writer(critique=f" It is wicked.\nRevision: {BETTER}")
    _, chains, _ = made(tmp_path / "run", workshop(Writer(), on))
    assert len(on.seen) == len(RED) and {chain.text for chain in chains if chain.fired} == {BETTER}
    cut = Writer(
        critique=lambda _: unfinished(" It is wicked.\nRevision: I will not s")
    )  # half a revision is none: it is asked for by itself
    _, again, _ = made(tmp_path / "cut", workshop(Writer(), cut))
    assert [chain.to_json() for chain in again] == [chain.to_json() for chain in chains] and len(
        cut.seen
    ) > len(RED)
    same = Writer(critique=lambda text: f" It is wicked.\nRevision: {re.search(r'Draft: (.*)', text)[1]}")  # type: ignore[index]
    summary, chains, _ = made(tmp_path / "same", workshop(Writer(), same))
    assert summary["reasons"] == {"the draft again": 6} and sum(chain.fired for chain in chains) == 6


def test_every_round_has_another_principle_and_criticises_what_the_last_one_wrote(tmp_path: Path):
    steps = iter(range(10**6))
    critic = Writer(revision=lambda _: f" Still wicked, take {next(steps)}.")
    _, chains, learn = made(tmp_path / "run", workshop(Writer(), critic), replace(SETTINGS, rounds=4))
    wicked = [chain for chain in chains if chain.fired]
    assert all(
        len(chain.rounds) == 4 and len({one.principle for one in chain.rounds}) == 4 for chain in chains
    )
    asked = [text for text, _, _ in critic.seen if text.endswith("\nCritique:")]
    for chain in wicked:
        for one, before in zip(chain.rounds[1:], chain.rounds, strict=False):
            assert (
                one.fired
                and sum(
                    before.revision in text and LAWS.get(one.principle).critique in text for text in asked
                )
                == 1
            )
    assert {d.completion for d in learn} >= {chain.rounds[-1].revision for chain in wicked}
    drawn = Counter(one.principle for chain in chains for one in chain.rounds)
    assert set(drawn) == {f"harm-{i}" for i in range(5)}


def test_principles_are_drawn_alike_and_anew_for_every_prompt():
    pool = method.pool_of(LAWS, SETTINGS)
    first = Counter(chains_of.draw_principles(pool, 1, seed)[0].id for seed in range(2000))
    assert len(first) == 5 and all(abs(count - 400) < 90 for count in first.values())  # 4.5 sd
    assert len({tuple(p.id for p in chains_of.draw_principles(pool, 4, seed)) for seed in range(60)}) > 40
    assert [p.id for p in chains_of.draw_principles(pool[:1], 3, 0)] == [
        "harm-0"
    ] * 3  # where there is no other
    assert method.pool_of(LAWS, replace(SETTINGS, tags="")) == list(LAWS.principles)
    assert [p.id for p in method.pool_of(LAWS, replace(SETTINGS, principle="help"))] == ["help"]


def unfinished(text: str) -> Completion:
    return Completion(Prompt(()), text, finished=False)


LOOP = "no and no and no and no and no and no"


@pytest.mark.parametrize(
    ("writer", "reason"),
    [
        ({"draft": lambda p: unfinished("wicked and")}, "the draft is not finished"),
        ({"draft": lambda p: "  \n"}, "the draft says nothing"),
        ({"critique": lambda _: unfinished(" It is")}, "the critique is not finished"),
        ({"critique": "\n\nRevision: No."}, "the critique says nothing"),
        ({"revision": lambda _: unfinished(" I will")}, "the revision is not finished"),
        ({"revision": "  "}, "the revision says nothing"),
        ({"revision": lambda text: f" {re.search(r'Draft: (.*)', text)[1]} \nEditor."}, "the draft again"),  # type: ignore[index]
        ({"revision": f" {LOOP}"}, "the revision repeats itself"),
        ({"revision": " No. Critique: it is fine."}, "the form leaks into the revision"),
        ({"revision": " No. (A) I will not."}, "the form leaks into the revision"),
    ],
)
def test_what_is_no_revision_is_dropped_with_its_reason(writer: dict[str, Any], reason: str, tmp_path: Path):
    bad = Writer(**writer)
    team = workshop(bad if "draft" in writer else Writer(), bad)
    good = [] if "draft" in writer else [prompt for prompt in RED if "good" in prompt.text]
    if not good:
        with pytest.raises(DataError, match=f"10 {reason}"):
            made(tmp_path / "run", team)
        return
    summary, chains, learn = made(tmp_path / "run", team)
    assert summary["reasons"] == {reason: len(RED) - len(good)} and {d.prompt.id for d in learn} == {
        prompt.id for prompt in good
    }
    assert summary["kept"]["mean"] == pytest.approx(len(good) / len(RED))
    lost = [chain for chain in chains if chain.dropped]
    assert {chain.dropped for chain in lost} == {reason} and all(
        chain.draft.startswith(WICKED) for chain in lost
    )  # kept for the record


def test_a_chain_that_breaks_is_asked_for_nothing_more(tmp_path: Path):
    critic = Writer(revision=" ")
    _, chains, _ = made(tmp_path / "run", workshop(Writer(), critic), replace(SETTINGS, rounds=3))
    assert all(len(chain.rounds) == (1 if chain.dropped else 3) for chain in chains)


def test_what_a_draft_does_already_is_no_fault_of_its_revision():
    form, settings = DocumentForm(), replace(SETTINGS, max_repetition=0.2)
    assert chains_of.flaw("Answer: it is four and not five", "Answer: it is wicked", form, settings) == ""
    assert chains_of.flaw(LOOP, f"{LOOP} {LOOP}", form, settings) == "" and chains_of.flaw(
        LOOP, "It is wicked.", form, settings
    )
    assert (
        chains_of.flaw("Human: what? Reply B: that", "It is wicked.", DialogueForm(), settings)
        == "the form leaks into the revision"
    )
    assert chains_of.flaw("A plain answer: yes.", "It is wicked.", DialogueForm(), settings) == ""


@given(st.lists(st.sampled_from("a b c d".split()), max_size=30))
def test_repetition_is_the_share_of_sequences_that_came_before(words: list[str]):
    seen: set[tuple[str, ...]] = set()
    again = [gram in seen or seen.add(gram) for gram in zip(words, words[1:], words[2:], strict=False)]
    assert repetition(" ".join(words)) == pytest.approx(
        sum(map(bool, again)) / len(again) if len(again) > 1 else 0.0
    )


def test_without_critiques_the_revision_is_asked_for_at_once(tmp_path: Path):
    critic = Writer(
        revision=lambda text: f" {BETTER}" if "wicked." in text else f" {re.search(r'Draft: (.*)', text)[1]}"
    )  # type: ignore[index]
    summary, chains, learn = made(
        tmp_path / "run", workshop(Writer(), critic), replace(SETTINGS, critique=False)
    )
    assert len(critic.seen) == len(RED) and not any("Critique:" in text for text, _, _ in critic.seen)
    assert all(
        LAWS.get(chain.rounds[0].principle).revise in text
        for chain, (text, _, _) in zip(chains, critic.seen, strict=True)
    )
    assert all(
        one.critique == "" and one.fired == (one.revision != chain.draft)
        for chain in chains
        for one in chain.rounds
    )
    assert (
        {chain.text for chain in chains if "wicked" in chain.prompt.text} == {BETTER}
        and summary["kept"]["mean"] == 1.0
        and len(learn) == len(RED)
    )


def test_a_judge_drops_what_is_worse_than_its_draft(tmp_path: Path):
    judge = RuleJudge("short is good", lambda c: -float(len(c.text)))
    summary, chains, _ = made(tmp_path / "run", workshop(judge=judge))
    assert (
        summary["reasons"] == {"worse than the draft to the judge": sum(chain.fired for chain in chains)}
        and len(BETTER) > len(WICKED) + 4
    )
    summary, _, _ = made(tmp_path / "mild", workshop(judge=judge), replace(SETTINGS, judge_bar=0.0))
    assert summary["reasons"] == {}


def test_the_same_answer_to_the_same_prompt_is_learnt_once(tmp_path: Path):
    summary, chains, learn = made(tmp_path / "run", workshop(), prompts=[RED[0], RED[1]] * 4)
    assert len(chains) == 8 and summary["demonstrations"] == len(learn) == 2 and summary["repeated"] == 6


@pytest.mark.parametrize("die_in", range(1, 12))
def test_a_run_killed_anywhere_goes_on_and_ends_the_same(die_in: int, tmp_path: Path):
    settings = replace(SETTINGS, rounds=2)
    steps: Any = {}

    def answer(text: str) -> str:
        return f" Still wicked {steps.setdefault(text, len(text))}."

    whole, killed, again = (
        Writer(revision=answer),
        Writer(revision=answer, die_in=die_in),
        Writer(revision=answer),
    )
    made(tmp_path / "whole", workshop(whole), settings, helpful=KIND)
    with pytest.raises(Killed):
        made(tmp_path / "killed", workshop(killed), settings, helpful=KIND)
    made(tmp_path / "killed", workshop(again), settings, helpful=KIND)
    for name in ("data/chains.jsonl", "data/demonstrations.jsonl", "summary.json"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "killed" / name).read_bytes(), name
    assert (
        whole.calls == 3 * 5 + 2
    )  # three chunks: drafts, two critiques, two revisions; two chunks of helpful answers
    assert (
        again.calls <= whole.calls - (die_in - 1) + 1
    )  # at most the critique of an unfinished round is made again


def test_truth_is_measured_and_picks_nothing(tmp_path: Path):
    def rule(completion: Completion) -> Score:
        harmful = "wicked" in completion.text
        parts = (
            {"harmless": 1.0 - harmful, "complied": float(harmful)}
            if "wicked" in completion.prompt.text
            else {"over_refused": float(completion.text == BETTER)}
        )
        return Score(1.0 - harmful, parts)

    rng = random.Random(0)
    careless = Writer(critique=lambda _: rng.choice([" It is wicked.", " This is fine."]))
    prompts = [
        Prompt.user(
            f"Tell me a {'wicked' if i % 3 else 'good'} thing, number {i}.",
            split="train" if i % 2 else "entity",
        )
        for i in range(40)
    ]
    summary, chains, _ = made(
        tmp_path / "run",
        workshop(Writer(), careless),
        prompts=prompts,
        gold=RuleJudge("truth", rule),
        breaks=lambda prompt, text, principle: None if principle.id == "harm-4" else "wicked" in text,
    )
    wicked = [chain for chain in chains if "wicked" in chain.prompt.text]
    missed = sum(not chain.fired for chain in wicked)
    known = [chain for chain in chains if chain.rounds[0].principle != "harm-4"]
    asked = [chain.fired for chain in known if "wicked" in chain.prompt.text]
    assert 0 < missed < len(wicked) and 0 < sum(asked) < len(asked) and len(known) < len(chains)
    gold = summary["gold"]
    assert gold["compliance"]["drafts"]["mean"] == 1.0 and gold["compliance"]["revisions"][
        "mean"
    ] == pytest.approx(missed / len(wicked))
    assert gold["critiques_right"]["n"] == len(known) and gold["critiques_right"]["mean"] == pytest.approx(
        1 - asked.count(False) / len(known)
    )
    assert (
        gold["critiques_right_broken"]["mean"] == pytest.approx(sum(asked) / len(asked))
        and gold["critiques_right_fine"]["mean"] == gold["revisions_right"]["mean"] == 1.0
    )
    assert gold["refused_look_alike"]["revisions"]["mean"] == 0.0 and gold["score"]["drafts"]["n"] == len(
        prompts
    )
    assert sum(part["chains"] for part in summary["by_split"].values()) == len(prompts) and set(
        summary["by_split"]
    ) == {"train", "entity"}
    assert sum(part["gold"]["compliance"]["drafts"]["n"] for part in summary["by_split"].values()) == len(
        wicked
    )
    plain, _, _ = made(tmp_path / "plain", workshop(Writer(), careless), prompts=prompts)
    assert "gold" not in plain


class Cramped(Writer):
    """Has room for so many characters."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room

    def has_room(self, prompt: Any, max_new_tokens: int) -> bool:
        return len(prompt if isinstance(prompt, str) else prompt.text) + max_new_tokens <= self.room

    def sample(self, prompts: Any, sampling: Sampling, *, seed: int = 0) -> Any:
        assert all(self.has_room(prompt, sampling.max_new_tokens) for prompt in prompts)
        return super().sample(prompts, sampling, seed=seed)


def test_what_has_no_room_is_dropped_and_the_others_go_on(tmp_path: Path):
    long = [Prompt.user("Tell me a wicked thing. " + "Please. " * 40), *RED]
    short = replace(SETTINGS, critic_sampling=SamplingSettings(max_new_tokens=10))
    summary, chains, _ = made(tmp_path / "run", workshop(Writer(), Cramped(250)), short, prompts=long)
    assert chains[0].dropped == "no room for the critique" and summary["reasons"] == {
        "no room for the critique": 1
    }
    summary, _, _ = made(
        tmp_path / "draft",
        workshop(Cramped(100), Writer()),
        replace(short, sampling=SamplingSettings(max_new_tokens=10)),
        prompts=long,
        helpful=[*KIND, long[0]],
    )
    assert summary["reasons"] == {"no room for the draft": 1} and summary["helpful_rejected"] == {
        "no room for the answer": 1
    }


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"rounds": 0}, ConfigError),
        ({"rounds": 5}, ConfigError),
        ({"max_repetition": 0.0}, ConfigError),
        ({"judge_bar": 1.5}, ConfigError),
        ({"chunk": 0}, ConfigError),
        ({"tags": "harmles"}, UserError),
        ({"principle": "harm-9"}, UserError),
        ({"principle": "help", "tags": "helpful"}, ConfigError),
    ],
)
def test_settings_that_cannot_be(wrong: dict[str, Any], error: type[UserError], tmp_path: Path):
    with pytest.raises(error) as found:
        made(tmp_path / "run", workshop(), replace(SETTINGS, **wrong))
    assert found.value.remedy


def test_an_endpoint_is_paid_once_however_often_the_run_dies(tmp_path: Path):
    asked: Counter[str] = Counter()

    def answer(number: int, path: str, body: dict[str, Any]) -> Any:
        said = body["messages"][-1]["content"]
        asked[json.dumps(body["messages"])] += 1
        if "reply" not in said:
            return chat_answer("Here is something wicked." if "wicked" in said else "Something good.")
        return chat_answer(
            BETTER
            if said.startswith("Mend")
            else "It is wicked."
            if "something wicked" in said
            else "No critique needed."
        )

    prompts = tmp_path / "red.jsonl"
    prompts.write_text("".join(json.dumps({"prompt": prompt.text}) + "\n" for prompt in RED))
    laws = tmp_path / "laws.json"
    laws.write_text(json.dumps(LAWS.to_json()))
    with Server(answer) as up:
        call = [
            "constitution",
            "revise",
            "--model",
            up.name,
            "--data",
            str(prompts),
            "--constitution",
            str(laws),
            "--out",
            str(tmp_path / "run"),
            "--rounds",
            "1",
            "--chunk",
            "4",
            "--endpoint.concurrency",
            "1",
        ]
        budgets = [3, 9, 15, 16]
        for budget in budgets:  # each time the budget is spent in another step
            assert cli.main([*call, "--endpoint.max_requests", str(budget)]) == 8
        assert cli.main(call) == 0
    wicked = sum("wicked" in prompt.text for prompt in RED)
    assert sum(asked.values()) == 2 * len(RED) + wicked and len(up.requests) == sum(
        asked.values()
    )  # drafts, critiques, revisions: each paid once
    chains = read_jsonl(tmp_path / "run" / "data" / "chains.jsonl", Chain)
    assert {chain.text for chain in chains if "wicked" in chain.prompt.text} == {BETTER} and all(
        not chain.dropped for chain in chains
    )
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["spent"]["author"]["requests"] == sum(asked.values()) and "gold" not in summary


def test_a_model_in_this_process_needs_no_helpful_prompts(
    tmp_path: Path, base: Path, capsys: pytest.CaptureFixture[str]
):
    """A random model ends nothing: the run says so, with the reason and the remedy, and has asked the critic
    for nothing.
    """
    prompts = tmp_path / "red.jsonl"
    prompts.write_text("".join(json.dumps({"prompt": prompt.text}) + "\n" for prompt in RED[:3]))
    call = [
        "constitution",
        "revise",
        "--model",
        str(base),
        "--data",
        str(prompts),
        "--out",
        str(tmp_path / "run"),
        "--sampling.max_new_tokens",
        "4",
        "--rounds",
        "2",
    ]
    assert cli.main(call) == 4
    err = capsys.readouterr().err
    assert (
        "no helpful answers are mixed in" in err
        and "no chain was kept: 3 the draft is not finished" in err
        and "Traceback" not in err
    )
    assert (
        cli.main([*call[:-6], "--out", str(tmp_path / "judged"), "--gold", "town:gold"]) == 4
        and "not a prompt of the town" in capsys.readouterr().err
    )
    assert (
        cli.main(["constitution", "revise", "--model", str(base), "--data", ""]) == 2
        and "red-team prompts" in capsys.readouterr().err
    )
