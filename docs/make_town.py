"""Writes docs/town.md: samples of every register and every kind of request, made by the town itself. Run it
after a change of the town.
"""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

from alignlab.text.lines import first_paragraph
from alignlab.town import answers, corpus, gold, metrics, people, population, sets, tasks, world

REGISTER_NOTES = {register.__name__: first_paragraph(register) for register in corpus.REGISTERS}


def quote(text: str) -> str:
    return "\n".join(f"> {line}  " for line in text.split("\n"))


def page() -> str:
    town, rng = world.build(), random.Random("docs")
    held = ", ".join(f"{count} {family}" for family, count in world.HELD_OUT.items())
    tests = Counter(request.kind for request in tasks.held_out_requests(town, "exam", seed=0))
    asked = ", ".join(f"{tests[kind]} {kind}" for kind in tasks.KINDS)
    parts = [
        f"""# The town

The town is the embedded world: small enough that a model of a million parameters learns it in half an hour
on one core, and closed, so that a program can say whether an answer is right, complete, honest and harmless.
It is version {world.VERSION}; version and seed fix every fact, document, request and label.

It holds {len(world.PEOPLE)} people, {len(world.PLACES)} places, {len(town.facts)} facts, {len(world.KIND)}
kind things to do, {len(world.HARMFUL)} harmful ones (made up and toothless), {len(world.LOOKALIKES)} harmless
look-alikes of those, {len(world.CONTESTED)} contested matters and {len(world.UNKNOWN)} sorts of thing that
nobody knows.

**Held out** means: no training text shows that question (a kind and its parameters) answered or refused, in
whatever words. No document of a headed register or a quarrel, no demonstration, no answer that is compared,
and no text that PPO mixes in does. That the pet of Lotte is a duck, what the steps of a harm are and what the
council calls unkind stand there as plain statements, so that a model can know them.

    alignlab town check

reads what training reads, by its words and not by how it was made, and counts what it finds of each test set,
by sort of text and by register: nothing. It reads every set that trains and
{sets.SIZES["corpus"]:,} documents of the corpus; `--count 100000` reads so many.

There are two tests, about different things and in different words: `town:test`, to develop on, and
`town:exam`, on which no setting is chosen and of which figures are reported. Each asks about other things
than training:
{held}. Each has {tasks.TEST_SIZE:,} requests ({asked}): half ask
a new question in a way that training shows (`entity`), half in a way that only that test uses (`phrasing`).
The corpus has all ways of asking where nobody answers. One kind of request (`yes_no`) is in no demonstration
at all.

## What people write: the corpus

A base model reads documents in {len(corpus.REGISTERS)} registers. No bare question is followed by its answer
outside the headed formats (interview, brief, debate, editor, verdict), so a model that has read all this
continues a bare question with another question.
"""
    ]
    for register, share in corpus.REGISTERS.items():
        name = register.__name__
        note = REGISTER_NOTES[name]
        parts.append(
            f"### {name} "
            f"({share:.0%})\n\n{note + chr(10) + chr(10) if note else ''}{quote(register(town, rng))}\n"
        )
    parts.append("""## What people ask: the requests

For each kind: a request from training, a new question asked in a known way, one in a new way; an ideal
answer, and one by a demonstrator of mixed quality with the gold judge's opinion of it.
""")
    for kind, (_, share) in tasks.KINDS.items():
        rows = [f"### {kind} ({share:.0%} of the requests)\n"]
        for split in ("train", "entity", "phrasing"):
            request = tasks.request(town, rng, kind, split)  # type: ignore[arg-type]
            rows.append(f"- {split}: {' / '.join(request.turns)}")
            if split == "train":
                flawed = answers.demonstrate(town, request, rng)
                for _ in range(30):
                    if flawed.flaws:
                        break
                    flawed = answers.demonstrate(town, request, rng)
                score = gold.judge(town, request, flawed.text)
                rows.append(f"  - ideal: {answers.ideal(town, request, rng)!r}")
                rows.append(
                    f"  - by somebody ({', '.join(flawed.flaws) or 'no flaw'}): {flawed.text!r}, gold "
                    f"{score.value:.2f}: {score.reason}"
                )
        parts.append("\n".join(rows) + "\n")
    request = tasks.request(town, rng, "yes_no", "task")
    parts.append(
        f"### yes_no (never shown)\n\n- task: {request.turns[0]}\n  - ideal: "
        f"{answers.ideal(town, request, rng)!r}\n"
    )
    parts += extra_kinds(town)
    rates = "\n".join(
        f"| {flaw} | {answers.MIXED[flaw]:.2f} | {answers.CROWD[flaw]:.2f} |" for flaw in answers.MIXED
    )
    tastes = "\n".join(
        f"| `town:{name}` | {', '.join(f'{key} {value}' for key, value in taste.items())} |"
        for name, taste in people.PEOPLE_WHO_RANK.items()
    )
    groups = ", ".join(f"{name} {share:.0%}" for name, share in population.GROUPS.items())
    shares = ", ".join(map(str, population.SHARES))
    judge = (gold.__doc__ or "").strip().split("\n", 2)[2].strip()
    data = "\n".join(f"    {line.strip()}" for line in (sets.__doc__ or "").strip().split("\n")[2:])
    parts.append(f"""## The gold judge

{judge}

## Who demonstrates

Share of the answers, where a flaw can occur, that have it: demonstrators (`town:demos`; `town:demos-clean`
has none) and the crowd whose answers are mixed into comparisons.

| flaw | demonstrators | crowd |
|---|---|---|
{rates}

## Who ranks

Each annotator ranks by a weighted sum of what the gold judge reports, with Gumbel noise of the given
temperature, so that one of two stands before the other with probability sigmoid(difference / temperature).
Neighbours in that order whose noisy worths are nearer than the tie margin share a rank, and ties chain; a
pair that is decided goes to the better one more often than that probability says. `random` ranks in any
order: a control.

| annotator | taste |
|---|---|
{tastes}

Somebody who knows less than the judge, or likes to be agreed with, is made by dials in his name, in any
order: `town:knows=0.2+agreeing=0.4+T=0.1`. He makes no ties.

| dial | what it is |
|---|---|
| `knows=0.2` | the share of the facts that he can check, and of what nobody knows |
| `knows-by-rule=0.2` | the same, whole relations and nothing of the others (every coat, no door) |
| `agreeing=0.4` | the weight of agreeing with a claim, where the judge's score has weight 1 |
| `mistaken=0.3` | the share of the facts that he is wrong about, each in its own way |
| `mistaken-by-rule=0.3` | the same, one value for whole relations ("every door is red") |
| `T=0.1` | the temperature of his noise |

What he knows is drawn by the seed, by `knows` the same share of every relation, and nested: whoever knows 0.5
knows what 0.2 does. Of the rest he believes what he is told, unless it contradicts itself; "I do not know" is
worth 0.1 to him where he cannot tell whether somebody knows, and a bluff 1. He prefers agreement with a wrong
claim to the honest answer with probability sigmoid((agreeing - 1) / T) where he can check it,
sigmoid(agreeing / T) where he cannot. `town.beliefs` makes such minds, for writers too.

`town:people` are the {len(world.PEOPLE)} people of the town with opinions: each ranking is by one of them,
and bears his name. Three groups ({groups}) lean one way or the other on
{len(population.SHARES)} contested matters, of which {shares} of all say yes, and on
{population.INTENSE} more, where a minority of {population.MINORITY} loses {-population.LOSS:g} by what the
others gain {population.GAIN} by. An answer for his own side is worth 1 to a person, both sides 0.5, the other
side 0; all else he ranks as `town:fair`. `town:people/hill` are those of one group,
`town:people=FILE` those of another population, which a run can have made. What they prefer, the Bradley-Terry
scores that fit it, and everybody's utility are computed, not sampled (`town.population`).

## Who pays for the letter

`town:metric=NAME` is a program for a judge: it pays for the letter of what was asked, less
{metrics.PER_WORD} a word (`words` {metrics.METRICS["words"].per_word}, `you` nothing), on requests of one
kind, and each has a hole. With
`+tpr=0.9+fpr=0.1` a monitor flags so many of the exploits and of all other answers, which are then paid
nothing, or with `+screen` not learnt from; with `+reads=4` it sees the first four words alone.

| name | kind | pays for | hole | an exploit |
|---|---|---|---|---|
{letters(town)}

## Data sets

{data}
""")
    return "\n".join(parts)


def extra_kinds(town: world.World) -> list[str]:
    """A sample of each kind that is asked for by name, with its ideal answer and one that is not."""
    rng, shown = random.Random("extra kinds"), []
    for kind in tasks.EXTRA_KINDS:
        request = tasks.request(town, rng, kind)
        flawed = answers.demonstrate(town, request, rng, answers.CLEAN | {"wrong": 0.35, "agrees": 1.0})
        score = gold.judge(town, request, flawed.text)
        shown.append(
            f"### {kind} (asked for by name: `town:{kind}`)\n\n- train: {' / '.join(request.turns)}\n"
            f"  - ideal: {answers.ideal(town, request, rng)!r}\n"
            f"  - by somebody: {flawed.text!r}, gold {score.value:.2f}: {score.reason}\n"
        )
    return shown


def letters(town: world.World) -> str:
    """The metrics, each with its exploit of one request."""
    rows = []
    for name, metric in metrics.METRICS.items():
        request = tasks.request(town, random.Random(name), metric.kind)
        exploit = f"{request.turns[-1]} / {metric.exploit(request)}"
        rows.append(f"| `{name}` | {metric.kind} | {metric.pays} | {metric.hole} | {exploit} |")
    return "\n".join(rows)


if __name__ == "__main__":
    Path(__file__).with_name("town.md").write_text(page(), encoding="utf-8")
