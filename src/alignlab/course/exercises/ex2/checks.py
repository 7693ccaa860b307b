"""The properties of exercise 2 that are more than one function's numbers: the split, the votes, and what came
of a reward model.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .... import names
from ....data.split import by_question
from ....errors import UserError
from ....evals import preference
from ....feedback.reward_model import RewardModelJudge
from ....models.chat import example
from ....models.label_noise import Labels
from ....models.load import load_reward_model
from ....models.policy import RewardModel
from ....records import Prompt, Ranking, pairs_of, question
from ....run import derive_seed
from ....settings import ModelSettings, RewardSettings
from ...grade.exercise import Finding
from ...grade.match import generator, judged, separating
from ...grade.runner import Answer, Asked, Case
from ..town import prompts, rankings
from .files import VOTES, votes_in
from .oracle import ALPHA, BINS, SPLIT, alpha, leaks

LEARNT, TESTED, SHARE, OWN_SHARE = 600, 300, 0.15, 0.5
ANNOTATOR = "town:fair"
LR, EPOCHS, BATCH = 5e-4, 2, 8
ABOVE_LENGTH, LEAST, MOST_ECE = 0.15, 0.70, 0.10
FEWEST_VOTES, LEAST_SIDE = 40, 0.2  # of a person's decided votes, the share that is for the answer seen first


# --- alpha, on what was published


def published() -> list[Case]:
    """Worked examples of alpha for labels as they were published, as a function's arguments."""
    text = Path(__file__).with_name("published.toml").read_text(encoding="utf-8")
    found: list[Case] = []
    for row in tomllib.loads(text)["example"]:
        raters = zip(*row["units"].split(), strict=True)
        found.append({"votes": [[None if said == "*" else said for said in rater] for rater in raters]})
    return found


def alphas(asked: Asked, seed: int, left: dict[str, Any]) -> Finding | None:
    """Alpha of drawn votes, and of the published examples."""
    cases = [*separating(ALPHA, seed), *published()]
    return judged(ALPHA, asked, cases, asked.calls(ALPHA.name, cases), False)


# --- the split


def divides(asked: Asked, seed: int, left: dict[str, Any]) -> Finding | None:
    """No question on both sides, every ranking on one, about the share asked for, and by the seed."""
    cases = separating(SPLIT, seed)
    answers = asked.calls(SPLIT.name, cases)
    if (found := judged(SPLIT, asked, cases, answers, False)) is not None:
        return replace(found, example=_leak(answers))
    [first, again, other] = asked.calls(SPLIT.name, [cases[0], cases[0], cases[0] | {"seed": 6}])
    if first.value != again.value:
        return Finding("split gives another split with the same seed")
    if first.value == other.value:
        return Finding("split gives the same split with another seed")
    return None


def _leak(answers: Sequence[Answer]) -> tuple[str, ...]:
    """Two lines: what was learnt, and what is held out and asks the same."""
    for answer in answers:
        try:
            for learnt, held_out in leaks(*answer.value):
                return (f"train: {learnt}", f"test:  {held_out}")
        except (TypeError, ValueError, LookupError):
            continue
    return ()


# --- votes


def votes(asked: Asked, seed: int, left: dict[str, Any]) -> Finding | None:
    """Somebody has voted often enough, and not for one side alone. What they prefer is theirs."""
    f = trained(asked, seed, left)
    if not f["votes"]:
        text = f"there are no votes in {VOTES} yet: alignlab exercise vote ex2 --who NAME"
        return Finding(text, unwritten=True)
    if f["votes"] < FEWEST_VOTES:
        return Finding(f"{f['votes']} votes by one person, and {FEWEST_VOTES} are asked for")
    if LEAST_SIDE <= f["first_seen"] <= 1 - LEAST_SIDE:
        return None
    text = f"{f['first_seen']:.0%} of the votes are for the answer that was seen first"
    return Finding(text, mistakes=("one-sided",), share=(1, 1))


def voted(own: Sequence[Ranking]) -> dict[str, Any]:
    """Of whoever has voted most: how many `votes`, and the share of them for the answer that was seen
    first.
    """
    by: dict[str, list[Ranking]] = {}
    for ranking in own:
        if len(ranking.meta.get("seen", ())) == 2:  # simulated people see no order
            by.setdefault(ranking.annotator, []).append(ranking)
    theirs = max(by.values(), key=len, default=[])
    decided = [r for r in theirs if len(set(r.ranks)) > 1]
    firsts = [r.ranks[r.meta["seen"][0]] < r.ranks[r.meta["seen"][1]] for r in decided]
    return {"votes": len(theirs), "first_seen": sum(firsts) / max(1, len(firsts))}


def own_votes(asked: Asked) -> list[Ranking]:
    """The votes that lie beside the student's file; none where they are none."""
    file = str(getattr(asked, "file", ""))
    try:
        return votes_in(Path(file).parent) if file else []
    except (UserError, OSError):
        return []


# --- a reward model, looked on


def trained(asked: Asked, seed: int, left: dict[str, Any]) -> dict[str, Any]:
    """What came of a reward model by the student's functions, once."""
    if "trained" not in left:
        left["trained"] = fitted(asked, seed)
    return left["trained"]


def fitted(asked: Asked, seed: int) -> dict[str, Any]:
    """Figures of a reward model on the rankings of 300 other questions: accuracy, length (always the longer
    answer), ece, and what the student's own figures say; or {"error"}.
    """
    own = own_votes(asked)
    kept, own_test = by_question(own, OWN_SHARE, seed)
    asked_for = prompts("town:prompts", count=LEARNT, seed=derive_seed(seed, "data") % 1000)
    simulated = rankings(asked_for, ANNOTATOR, seed=derive_seed(seed, "crowd"))
    reward_model = blank(seed)
    learn = [without_card(ranking) for ranking in [*simulated, *kept]]
    found = asked.drive("train", given(reward_model, learn, seed))
    if "error" in found:
        figures = {"error": found["error"], "unwritten": found.get("kind") == "NotImplementedError"}
    else:
        known = {question(ranking.prompt) for ranking in learn}
        figures = measured(reward_model, found, [without_card(each) for each in own_test], known, seed)
    return figures | voted(own) | {"alpha": _alpha(own)}


def blank(seed: int) -> RewardModel:
    """The town's base model under a new head."""
    path = names.models.model("town").path
    return load_reward_model(path, ModelSettings(), init_head=True, head_seed=derive_seed(seed, "head"))


def without_card(ranking: Ranking) -> Ranking:
    """A ranking as the model reads it: whoever voted may have had a fact card before them."""
    messages = tuple(message for message in ranking.prompt.messages if message.role != "system")
    return replace(ranking, prompt=Prompt(messages, ranking.prompt.meta))


def given(reward_model: RewardModel, learn: Sequence[Ranking], seed: int) -> dict[str, Any]:
    """What the driver is given: a model with a head, the rankings as rows, settings."""
    tokenizer = reward_model.tokenizer
    completions = [completion for ranking in learn for completion in ranking.completions]
    rows = [example(tokenizer, c.prompt, c.text, finished=c.finished) for c in completions]
    return {
        "config": reward_model.model.config.to_diff_dict(),
        "weights": dict(reward_model.model.state_dict()),
        "ids_N": torch.tensor([token for row in rows for token in row.ids]),
        "lengths": [len(row.ids) for row in rows],
        "finished": [completion.finished for completion in completions],
        "ranks": [list(ranking.ranks) for ranking in learn],
        "asked": [row_of(ranking, place) for place, ranking in enumerate(learn)],
        "pad_id": reward_model.pad_id,
        "share": SHARE,
        "lr": LR,
        "epochs": EPOCHS,
        "batch": BATCH,
        "bins": BINS,
        "seed": derive_seed(seed, "train") % 2**31,
    }


def row_of(ranking: Ranking, place: int) -> dict[str, Any]:
    """A ranking as `split` sees it."""
    meta = ranking.prompt.meta
    what = {"kind": meta["kind"], "params": dict(meta["params"])}
    return {"place": place, "prompt": ranking.prompt.text, **what, "question": question(ranking.prompt)}


def measured(
    reward_model: RewardModel,
    found: dict[str, Any],
    own_test: list[Ranking],
    known: Collection[str],
    seed: int,
) -> dict[str, Any]:
    """Figures of the weights that came back; {"error"} where they are none."""
    try:
        weights: dict[str, Tensor] = found["weights"]
        losses, said = [float(loss) for loss in found["losses"]], [float(each) for each in found["said"]]
        reward_model.model.load_state_dict(weights)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        return {"error": f"the training gave back no model ({type(error).__name__})", "unwritten": False}
    if not all(bool(weight.isfinite().all()) for weight in weights.values()):
        return {"error": "the training ended in weights that are no numbers", "unwritten": False}
    judge = RewardModelJudge(reward_model, normalize=False)
    test = tested(seed, known)
    figures = preference.measure(judge, test, labels=Labels(RewardSettings(), test))
    return {
        "accuracy": figures["accuracy"]["mean"],
        "low": figures["accuracy"]["ci"][0],
        "length": figures["length_floor"]["mean"],
        "ece": figures["ece"],
        "elsewhere": _right(judge, elsewhere(seed)),
        "said": said,
        "own": _right(judge, own_test),
        "loss": [losses[0], losses[-1]] if losses else [0.0, 0.0],
        "trace": sum(losses[:8]) / max(1, len(losses[:8])),
        "digests": found["digests"][:100],
    }


def tested(seed: int, known: Collection[str]) -> list[Ranking]:
    """Rankings of 300 questions that training could ask and none of which it has asked."""
    drawn = prompts("town:prompts", count=4 * TESTED, seed=1000 + derive_seed(seed, "test") % 1000)
    new = {question(prompt): prompt for prompt in drawn if question(prompt) not in known}
    return rankings(list(new.values())[:TESTED], ANNOTATOR, seed=derive_seed(seed, "test"))


def elsewhere(seed: int) -> list[Ranking]:
    """Rankings of 300 questions of the town's test: of people and places that training never asks about."""
    test = prompts("town:test")
    places = torch.randperm(len(test), generator=generator(seed, "asked"))[:TESTED].tolist()
    return rankings([test[place] for place in places], ANNOTATOR, seed=derive_seed(seed, "elsewhere"))


def _right(judge: RewardModelJudge, test: Sequence[Ranking]) -> float:
    """How often the model is right on votes that it has not learnt from; 0 without any."""
    test = [ranking for ranking in test if pairs_of(ranking.ranks)[0]]
    if not test:
        return 0.0
    return preference.measure(judge, test)["accuracy"]["mean"]


def _alpha(own: Sequence[Ranking]) -> float:
    """How far those who voted agree on what they share; 0 with a single one."""
    table = vote_table(own)
    if len(table) < 2 or not any(
        sum(vote is not None for vote in item) > 1 for item in zip(*table, strict=True)
    ):
        return 0.0
    return alpha(table)


def vote_table(own: Sequence[Ranking]) -> list[list[str | None]]:
    """A row a rater, a column a pair of answers: a, b, t for a tie, None where he has not voted."""
    items = {(r.prompt.id, *(c.text for c in r.completions)): None for r in own}
    columns = {item: n for n, item in enumerate(items)}
    raters = {name: n for n, name in enumerate(dict.fromkeys(r.annotator for r in own))}
    table: list[list[str | None]] = [[None] * len(columns) for _ in raters]
    for r in own:
        first, second = r.ranks
        sign = (first > second) - (first < second)
        column = columns[(r.prompt.id, *(c.text for c in r.completions))]
        table[raters[r.annotator]][column] = "atb"[sign + 1]
    return table


def _stopped(f: dict[str, Any]) -> Finding | None:
    if "error" not in f:
        return None
    if f["unwritten"]:
        return Finding("a function that the training calls is not written yet", unwritten=True)
    cut_off = "does not require grad" in f["error"]
    mistakes = ("scores-cut-off",) if cut_off else ()
    return Finding(
        f"the training stopped: {f['error']}", mistakes=mistakes, share=(1, 1) if cut_off else (0, 0)
    )


def learns(asked: Asked, seed: int, left: dict[str, Any]) -> Finding | None:
    """The reward model is above length, right often enough by the lower end of its interval, and knows how
    sure it may be.
    """
    f = trained(asked, seed, left)
    if (stopped := _stopped(f)) is not None:
        return stopped
    short: list[str] = []
    if f["accuracy"] - f["length"] < ABOVE_LENGTH:
        short.append(f"always taking the longer answer is right on {f['length']:.2f}")
    if f["low"] < LEAST:
        short.append(f"right on {f['accuracy']:.2f} (at least {f['low']:.2f}; {LEAST:.2f} is asked)")
    if f["ece"] > MOST_ECE:
        short.append(f"ECE is {f['ece']:.2f} ({MOST_ECE:.2f} at most is asked)")
    if not short:
        return None
    text, earned = ", ".join(short), 1 - len(short) / 3
    if left.get("wrong"):
        return Finding(f"{text} (mend {' and '.join(sorted(left['wrong']))} first)", earned=earned)
    return Finding(text, earned=earned)
