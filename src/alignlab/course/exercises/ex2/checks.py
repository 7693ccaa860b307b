"""The properties of exercise 2 that are more than one function's numbers: the split, the votes, and what came
of a reward model.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
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
from ...grade.runner import Asked, Case
from ..town import prompts, rankings
from .files import VOTES, votes_in
from .oracle import ALPHA, BINS, alpha

LEARNT, TESTED, SHARE, OWN_SHARE = 600, 300, 0.15, 0.5
ANNOTATOR = "town:fair"
LR, EPOCHS, BATCH = 7e-4, 2, 8
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


def drawn_rows(seed: int) -> list[dict[str, Any]]:
    """Rankings of 60 questions, most of them asked more than once: in the same words, in other capitals, or
    in other words.
    """
    g = generator(seed, "split")
    rows: list[dict[str, Any]] = []
    for n in range(60):
        for way in torch.randint(4, (int(torch.randint(1, 5, (), generator=g)),), generator=g).tolist():
            what = {"kind": "fact", "params": {"relation": "pet", "subject": f"Ana{n}"}}
            ways = ("What is the pet of {}?", "what is the pet of {}", "Tell me the pet of {}.", "Say: {}'s pet?")
            text = ways[way].format(f"Ana{n}")
            rows.append({"place": len(rows), "prompt": text, **what})
    return [rows[i] | {"place": k} for k, i in enumerate(torch.randperm(len(rows), generator=g).tolist())]


def split(asked: Asked, seed: int, left: dict[str, Any]) -> Finding | None:
    """No question on both sides, every ranking on one, about the share that was asked for, by the seed."""
    rows = drawn_rows(seed)
    cases: list[Case] = [{"rankings": rows, "share": 0.3, "seed": each} for each in (5, 5, 6)]
    answers = asked.calls("split", cases)
    if answers[0].unwritten:
        return Finding("split is not written yet", unwritten=True)
    if bad := next((answer.error for answer in answers if answer.error), ""):
        return Finding(f"split stopped: {bad}")
    try:
        parts = [[[int(row["place"]) for row in part] for part in answer.value] for answer in answers]
        (train, test), again, other = ((left_, right) for left_, right in parts)
    except (TypeError, ValueError, LookupError):
        return Finding("split gives no two lists of rankings")
    if sorted([*train, *test]) != list(range(len(rows))):
        return Finding("split loses a ranking, or gives one twice")
    if leak := _leak(rows, train, test):
        return leak
    share = len({_subject(rows[i]) for i in test}) / len({_subject(row) for row in rows})
    if not 0.1 <= share <= 0.5:
        return Finding(f"split holds out {share:.0%} of the questions, and 30 % were asked for")
    if (train, test) != again:
        return Finding("split gives another split with the same seed")
    if set(test) == set(other[1]):
        return Finding("split gives the same split with another seed")
    return None


def _subject(row: dict[str, Any]) -> str:
    return row["params"]["subject"]


def _leak(rows: Sequence[dict[str, Any]], train: Sequence[int], test: Sequence[int]) -> Finding | None:
    for name, key in (("split-by-row", lambda row: row["prompt"]), ("split-by-letters", _subject)):
        learnt = {key(rows[i]): rows[i] for i in train}
        both = [(learnt[key(rows[i])], rows[i]) for i in test if key(rows[i]) in learnt]
        if both:
            example = tuple(f"{side}: {row['prompt']}" for side, row in zip(("train", "test "), both[0], strict=True))
            return Finding(f"{len(both)} held-out rankings ask what was learnt", example, (name,), (1, 1))
    return None


# --- votes


def votes(asked: Asked, seed: int, left: dict[str, Any]) -> Finding | None:
    """There are enough votes of people, and they are not all for one side. What they prefer is theirs."""
    said = own_votes(asked)
    if said is None:
        return Finding(f"there are no votes in {VOTES} yet: alignlab exercise vote ex2 --who NAME", unwritten=True)
    by: dict[str, list[Ranking]] = {}
    for ranking in said:
        by.setdefault(ranking.annotator, []).append(ranking)
    best = max(by.values(), key=lambda theirs: len([r for r in theirs if "seen" in r.meta]), default=[])
    theirs = [ranking for ranking in best if "seen" in ranking.meta]
    if len(theirs) < FEWEST_VOTES:
        return Finding(f"{len(theirs)} votes by one person, and {FEWEST_VOTES} are asked for")
    firsts = [r.ranks[r.meta["seen"][0]] < r.ranks[r.meta["seen"][1]] for r in theirs if len(set(r.ranks)) > 1]
    share = sum(firsts) / max(1, len(firsts))
    if not LEAST_SIDE <= share <= 1 - LEAST_SIDE:
        return Finding(f"{share:.0%} of the votes are for the answer that was seen first")
    return None


def own_votes(asked: Asked) -> list[Ranking] | None:
    """The votes in the student's folder; None without any."""
    try:
        return votes_in(Path(str(getattr(asked, "file", ""))).parent) or None
    except (UserError, OSError):
        return None


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
    own = own_votes(asked) or []
    kept, own_test = by_question(own, OWN_SHARE, seed)
    asked_for = prompts("town:prompts", count=LEARNT, seed=derive_seed(seed, "data") % 1000)
    simulated = rankings(asked_for, ANNOTATOR, seed=derive_seed(seed, "crowd"))
    reward_model = blank(seed)
    learn = [without_card(ranking) for ranking in [*simulated, *kept]]
    found = asked.drive("train", given(reward_model, learn, seed))
    if "error" in found:
        return {"error": found["error"], "unwritten": found.get("kind") == "NotImplementedError"}
    return measured(reward_model, found, [without_card(ranking) for ranking in own_test], own, seed)


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
    reward_model: RewardModel, found: dict[str, Any], own_test: list[Ranking], own: list[Ranking], seed: int
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
    test = tested(seed)
    figures = preference.measure(judge, test, labels=Labels(RewardSettings(), test))
    return {
        "accuracy": figures["accuracy"]["mean"],
        "low": figures["accuracy"]["ci"][0],
        "length": figures["length_floor"]["mean"],
        "ece": figures["ece"],
        "said": said,
        "own": _right(judge, own_test),
        "alpha": _alpha(own),
        "loss": [losses[0], losses[-1]] if losses else [0.0, 0.0],
        "digests": found["digests"][:100],
    }


def tested(seed: int) -> list[Ranking]:
    """Rankings of 300 questions of the town's test, drawn by the student's seed."""
    test = prompts("town:test")
    places = torch.randperm(len(test), generator=generator(seed, "asked"))[:TESTED].tolist()
    return rankings([test[place] for place in places], ANNOTATOR, seed=derive_seed(seed, "test"))


def _right(judge: RewardModelJudge, test: Sequence[Ranking]) -> float:
    """How often the model is right on votes that it has not learnt from; 0 without any."""
    test = [ranking for ranking in test if pairs_of(ranking.ranks)[0]]
    if not test:
        return 0.0
    return preference.measure(judge, test)["accuracy"]["mean"]


def _alpha(own: Sequence[Ranking]) -> float:
    """How far those who voted agree on what they share; 0 with a single one."""
    table = vote_table(own)
    if len(table) < 2 or not any(sum(vote is not None for vote in item) > 1 for item in zip(*table, strict=True)):
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
    return Finding(f"the training stopped: {f['error']}")


def _named(left: dict[str, Any], text: str) -> Finding:
    if left.get("wrong"):
        return Finding(f"{text} (mend {' and '.join(sorted(left['wrong']))} first)")
    return Finding(text)


def above_length(asked: Asked, seed: int, left: dict[str, Any]) -> Finding | None:
    f = trained(asked, seed, left)
    if (stopped := _stopped(f)) is not None:
        return stopped
    if f["accuracy"] - f["length"] >= ABOVE_LENGTH:
        return None
    return _named(left, f"right on {f['accuracy']:.2f}; always taking the longer answer is right on {f['length']:.2f}")


def accurate(asked: Asked, seed: int, left: dict[str, Any]) -> Finding | None:
    f = trained(asked, seed, left)
    if (stopped := _stopped(f)) is not None:
        return stopped
    if f["low"] >= LEAST:
        return None
    return _named(left, f"right on {f['accuracy']:.2f}, at least {f['low']:.2f}; {LEAST:.2f} is asked")


def calibrated(asked: Asked, seed: int, left: dict[str, Any]) -> Finding | None:
    f = trained(asked, seed, left)
    if (stopped := _stopped(f)) is not None:
        return stopped
    if f["ece"] <= MOST_ECE:
        return None
    return _named(left, f"ECE is {f['ece']:.2f}; {MOST_ECE:.2f} at most is asked")
