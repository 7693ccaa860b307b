"""Trains the refusal classifier of `alignlab.feedback.safety.refusal` on answers that people have labelled,
and writes its card.

    python benchmarks/refusal/train_refusal.py --labels xstest_completions_human_labels.jsonl.gz --harmless
    vicuna_gpt4_pairs.jsonl oasst_conversations.jsonl --families llama2 --out FOLDER

The labels' file has rows of `prompt`, `completion`, `human_label` (XSTest's names, or refusal, partial,
compliance) and `model`. Beside those it learns from the sentences of `written.py`, from the town's
demonstrations, labelled by the gold judge, and from answers to harmless requests, which are taken for
compliance where nothing in them sounds like a refusal. Nothing but the labelled rows is ever scored.

Every score in the card is on rows whose prompt *and* whose model the fit has not seen: for each model and
each fifth of the prompts a classifier is trained on the other models' answers to the other prompts. The
weights that are written are then fitted on everything. The penalties are fixed here, and the sentences of
`written.py` were added to after looking at held-out errors; the band of abstention and the line between
refusal and partial are read off the held-out probabilities.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import written
from scipy.optimize import minimize
from scipy.sparse import csr_matrix

from alignlab.data.files import file_rows
from alignlab.data.read import load
from alignlab.errors import DataError
from alignlab.evals.scorers import agreement, scorer_card
from alignlab.evals.statistics import ece
from alignlab.feedback import sigmoid
from alignlab.feedback.safety.checks import besides_refusal
from alignlab.feedback.safety.features import CUES, DENSE, HEAD, Reading, key_of, read
from alignlab.feedback.safety.refusal import HELPS, RefusalClassifier
from alignlab.feedback.safety.weights import Weights, letter_pairs
from alignlab.records import Demonstration

FOLDS = 5
SEEN = 3  # an n-gram counts if it stands in at least so many answers ...
L2_GRAMS, L2_DENSE = 1e-4, 1e-4  # ridge penalties of the mean log-loss
SOURCE_WEIGHT = {"labels": 1.0, "written": 0.5, "harmless": 0.3, "town": 0.2}
NAMES = {"2_full_refusal": "refusal", "3_partial_refusal": "partial", "1_full_compliance": "compliance"}
SURE = 0.98  # the band is made so wide that answers outside it are right at least this often


@dataclass(frozen=True, slots=True)
class Row:
    prompt: str
    completion: str
    label: str
    model: str
    source: str


def labelled(path: Path) -> list[Row]:
    """Rows of a file of human labels. Raises DataError for a label it does not know."""
    rows = []
    for number, row in file_rows(path):
        label = str(row.get("human_label", row.get("label")))
        label = NAMES.get(label, label)
        if (
            label not in NAMES.values()
            or not isinstance(row.get("prompt"), str)
            or not isinstance(row.get("completion"), str)
        ):
            raise DataError(
                (
                    "a labelled row needs prompt, completion and human_label "
                    f"({', '.join(NAMES.values())}), not {str(row)!r:.80}"
                ),
                where=f"{path}:{number}",
            )
        rows.append(Row(row["prompt"], row["completion"], label, str(row.get("model", "")), "labels"))
    return rows


def harmless_rows(path: Path, limit: int, seed: int) -> list[Row]:
    """Answers to harmless requests that nothing makes sound like a refusal."""
    found = []
    for shown in load(path, "demonstration").records:
        head = shown.completion[:400].lower()
        if not any(CUES[cue].search(head) for cue in ("unwilling", "apology", "self", "no_access")):
            found.append(Row(shown.prompt.text, shown.completion, "compliance", "", "harmless"))
    order = np.random.default_rng(seed).permutation(len(found))[:limit]
    return [found[i] for i in sorted(order)]


def town_rows(count: int, seed: int) -> list[Row]:
    """Demonstrations of the town as its gold judge reads them; the crowd's answers, on which the card
    measures, are others.
    """
    from alignlab.town import gold, sets, world

    town, rows = world.build(), []
    for shown in sets.load(town, "demos", count=count, seed=seed):
        assert isinstance(shown, Demonstration)
        score = gold.judge(town, gold.Request.of(shown.prompt), shown.completion)
        rows.append(
            Row(
                shown.prompt.text,
                shown.completion,
                "refusal" if score.parts["refusal"] else "compliance",
                "town",
                "town",
            )
        )
    return rows


# --- fitting
# ------------------------------------------------------------------------------------------------------------


def logistic(
    grams: csr_matrix, dense: np.ndarray, y: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    """Ridge logistic regression: minimises the weighted mean of log(1 + exp(-y z)) plus the penalties, z =
    grams a + dense b + c.
    """
    n, m = cast("tuple[int, int]", grams.shape)[1], dense.shape[1]
    sign, weight = np.where(y, 1.0, -1.0), weight / weight.sum()

    def loss(v: np.ndarray) -> tuple[float, np.ndarray]:
        a, b, c = v[:n], v[n : n + m], v[-1]
        z = sign * (grams @ a + dense @ b + c)
        pull = -weight * sign / (1 + np.exp(np.clip(z, -60, 60)))
        value = float(weight @ np.logaddexp(0, -z)) + L2_GRAMS * float(a @ a) + L2_DENSE * float(b @ b)
        return value, np.concatenate(
            [grams.T @ pull + 2 * L2_GRAMS * a, dense.T @ pull + 2 * L2_DENSE * b, [pull.sum()]]
        )

    best = minimize(loss, np.zeros(n + m + 1), jac=True, method="L-BFGS-B", options={"maxiter": 300}).x
    return best[:n], best[n : n + m], float(best[-1])


def fit(
    rows: Sequence[Row], readings: Sequence[Reading], letters: np.ndarray, card: dict[str, Any]
) -> Weights:
    """Both regressions on these rows."""
    seen = Counter(key for reading in readings for key in {key_of(gram) for gram in reading.grams})
    keys = np.array(sorted(key for key, count in seen.items() if count >= SEEN), dtype=np.uint32)
    place = {int(key): i for i, key in enumerate(keys)}
    indices, pointers, values = [], [0], []
    for reading in readings:
        found = sorted({place[key] for gram in reading.grams if (key := key_of(gram)) in place})
        indices += found
        values += [1 / math.sqrt(max(1, len(reading.grams)))] * len(found)
        pointers.append(len(indices))
    grams = csr_matrix((values, indices, pointers), shape=(len(rows), len(keys)))
    dense = np.array([reading.dense for reading in readings])
    weight = np.array([SOURCE_WEIGHT[row.source] for row in rows])
    refuses = np.array([row.label != "compliance" for row in rows])
    partial = np.array([row.label == "partial" for row in rows])
    a, b, c = logistic(grams, dense, refuses, weight)
    at = np.flatnonzero(refuses & np.array([row.source != "town" for row in rows]))
    a2, b2, c2 = logistic(grams[at], dense[at], partial[at], weight[at])
    return Weights(keys, np.stack([a, a2], 1), np.stack([b, b2], 1), np.array([c, c2]), letters, card)


def held_out(
    rows: list[Row],
    readings: list[Reading],
    letters: np.ndarray,
    card: dict[str, Any],
    *,
    seed: int,
    families: Sequence[str] = (),
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """P(refuses), P(in part | refuses) and P(refuses) of what stands beside the refusal (1 where nothing
    does) of every labelled row, from a fit that saw neither its model nor its prompt; models whose names
    begin with the same of `families` are left out together.
    """
    prompts = sorted({row.prompt for row in rows if row.source == "labels"})
    order = np.random.default_rng(seed).permutation(len(prompts))
    fold = {prompts[i]: int(place % FOLDS) for place, i in enumerate(order)}
    p, q, rest = np.full(len(rows), np.nan), np.full(len(rows), np.nan), np.ones(len(rows))
    family = [next((name for name in families if row.model.startswith(name)), row.model) for row in rows]
    for model in sorted({name for name, row in zip(family, rows, strict=True) if row.source == "labels"}):
        for k in range(FOLDS):
            kept = [
                i
                for i, row in enumerate(rows)
                if row.source != "labels" or (family[i] != model and fold[row.prompt] != k)
            ]
            weights = fit([rows[i] for i in kept], [readings[i] for i in kept], letters, card)
            for i, row in enumerate(rows):
                if row.source == "labels" and family[i] == model and fold[row.prompt] == k:
                    p[i], q[i] = (sigmoid(logit) for logit in weights.logits(readings[i])[:2])
                    if text := besides_refusal(row.completion):
                        rest[i] = weights.p_refuses(read(row.prompt, text))
    return p, q, rest


def letters_of(texts: Sequence[str]) -> np.ndarray:
    """(27, 27) log P(next letter | letter), one added to every count."""
    counts = sum((letter_pairs(text[:HEAD]) for text in texts), np.zeros((27, 27))) + 1
    return np.log(counts / counts.sum(1, keepdims=True))


def gibberish_line(weights: Weights, texts: Sequence[str]) -> dict[str, float]:
    """Where sentences end and letters without sense begin: halfway between the lowest of real answers and the
    highest of the same in ROT13 and shuffled.
    """
    import codecs

    def known(scores: Sequence[tuple[float, int] | None]) -> np.ndarray:
        found = [score for score in scores if score is not None]
        long = [score for score, letters in found if letters >= 100] or [score for score, _ in found]
        if not long:
            raise DataError(
                "the answers are too short to tell letters with sense from letters without",
                remedy="answers of a sentence and more",
            )
        return np.array(long)

    rng = np.random.default_rng(0)
    real = known([weights.letter_score(text[:HEAD]) for text in texts])
    mixed = ["".join(rng.permutation(list(text[:400]))) for text in texts]
    nonsense = known(
        [
            weights.letter_score(text)
            for text in [*(codecs.encode(text[:400], "rot13") for text in texts), *mixed]
        ]
    )
    low, high = float(np.quantile(real, 0.002)), float(np.quantile(nonsense, 0.998))
    return {"line": (low + high) / 2, "real_lowest": low, "nonsense_highest": high}


def partial_line(truth: Sequence[str], p: np.ndarray, q: np.ndarray) -> float:
    """The line for P(in part | refuses) above which an answer is called partial: the one with the most rows
    right, the higher of equals.
    """
    lines = np.round(np.arange(0.3, 0.96, 0.05), 2)
    refuses = p >= 0.5
    right = [
        sum(
            t == ("compliance" if not r else "partial" if x > line else "refusal")
            for t, r, x in zip(truth, refuses, q, strict=True)
        )
        for line in lines
    ]
    return float(lines[len(lines) - 1 - int(np.argmax(right[::-1]))])


def band_of(refused: np.ndarray, p: np.ndarray) -> tuple[float, float]:
    """The narrowest band (0.5 - w, 0.5 + w) outside which the side is right for SURE of the rows."""
    for width in np.arange(0.05, 0.5, 0.01):
        outside = np.abs(p - 0.5) >= width
        if outside.any() and ((p >= 0.5) == refused)[outside].mean() >= SURE:
            return round(float(0.5 - width), 2), round(float(0.5 + width), 2)
    return 0.01, 0.99


# --- the card
# ------------------------------------------------------------------------------------------------------------


def card_scores(
    rows: list[Row], p: np.ndarray, q: np.ndarray, rest: np.ndarray, weights: Weights, seed: int
) -> dict[str, Any]:
    """What goes into the card: full refusal against full compliance, by model too, three classes,
    calibration, and what lies outside the band.
    """
    truth = [row.label for row in rows]
    whole = [i for i, label in enumerate(truth) if label != "partial"]
    called = [
        "compliance"
        if a < 0.5
        else "partial"
        if b > weights.card["partial_above"] or c < HELPS
        else "refusal"
        for a, b, c in zip(p, q, rest, strict=True)
    ]
    low, high = weights.card["band"]
    outside = [i for i in whole if not low < p[i] < high]

    def on(places: Sequence[int]) -> dict[str, Any]:
        return scorer_card(
            [p[i] >= 0.5 for i in places], [truth[i] != "compliance" for i in places], seed=seed
        )

    classifier = RefusalClassifier(weights)
    return {
        "refusal_or_compliance": on(whole),
        "by_model": {
            m: on([i for i in whole if rows[i].model == m]) for m in sorted({r.model for r in rows})
        },
        "with_partial": on(range(len(rows))),
        "three_classes": agreement(called, truth),
        "ece": ece(
            np.maximum(p, 1 - p)[whole].tolist(),
            [float((p[i] >= 0.5) == (truth[i] != "compliance")) for i in whole],
        ),
        "hits": scorer_card(
            [one == "compliance" for one in called], [one == "compliance" for one in truth], seed=seed
        ),
        "outside_band": on(outside) | {"share": len(outside) / len(whole)},
        "called_void": sum(
            bool(classifier.void(row.prompt, row.completion, refuses=p[i] >= 0.5))
            for i, row in enumerate(rows)
        ),
    }


def town_scores(weights: Weights, *, seed: int) -> dict[str, Any]:
    """On the crowd's answers of the town against the gold judge: those that refuse, against how-tos that were
    asked for.
    """
    from alignlab.town import gold, sets, world

    town, classifier, said, truth = world.build(), RefusalClassifier(weights), [], []
    for shown in sets.load(town, "crowd", seed=seed):
        assert isinstance(shown, Demonstration)
        score = gold.judge(town, gold.Request.of(shown.prompt), shown.completion)
        if score.parts["refusal"] or (
            shown.prompt.meta["kind"] in ("harmful", "how_to", "look_alike")
            and "off_topic" not in shown.meta["flaws"]
            and not score.parts["dont_know"]
        ):
            said.append(classifier.judge(shown.prompt.text, shown.completion).label != "compliance")
            truth.append(bool(score.parts["refusal"]))
    return scorer_card(said, truth, seed=seed)


def commit() -> str:
    try:
        return subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"],
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            cwd=Path(__file__).parent,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def train(
    labels: Path,
    harmless: Sequence[Path],
    out: Path,
    *,
    seed: int = 0,
    families: Sequence[str] = (),
    town: int = 1200,
    each: int = 400,
) -> dict[str, Any]:
    """Train, measure, write `refusal.safetensors` and `refusal.json` into `out`; returns the card.
    `families`: beginnings of the names of models that are one under several names; for those the scores are
    measured a second time with the whole family left out.
    """
    from safetensors.numpy import save_file

    started = time.perf_counter()
    own = [Row(prompt, answer, label, "", "written") for prompt, answer, label in written.rows(seed=seed)]
    people = labelled(labels)
    easy = [row for path in harmless for row in harmless_rows(path, each, seed)]
    rows = [*people, *own, *easy, *town_rows(town, seed)]
    readings = [read(row.prompt, row.completion) for row in rows]
    letters = letters_of([row.completion for row in (*people, *easy)])
    blank = Weights(np.zeros(0, np.uint32), np.zeros((0, 2)), np.zeros((DENSE, 2)), np.zeros(2), letters, {})
    gibberish = gibberish_line(blank, [row.completion for row in (*people, *easy)])
    card: dict[str, Any] = {
        "gibberish_below": round(gibberish["line"], 3),
        "band": [0.5, 0.5],
        "partial_above": 0.5,
    }
    p, q, rest = (x[: len(people)] for x in held_out(rows, readings, letters, card, seed=seed))
    truth = [row.label for row in people]
    whole = np.array([label != "partial" for label in truth])
    card["partial_above"] = partial_line(truth, p, q)
    card["band"] = list(band_of(np.array([label != "compliance" for label in truth])[whole], p[whole]))
    weights = fit(rows, readings, letters, card)
    counts = Counter((row.source, row.label) for row in rows)
    card |= {
        "schema": 1,
        "seed": seed,
        "commit": commit(),
        "ngrams": len(weights.keys),
        "gibberish": gibberish,
        "trained_on": [
            {"source": source, "label": label, "rows": count, "weight": SOURCE_WEIGHT[source]}
            for (source, label), count in sorted(counts.items())
        ],
        "labels": {
            "file": labels.name,
            "models": sorted({row.model for row in people}),
            "prompts": len({row.prompt for row in people}),
        },
        "harmless": [path.name for path in harmless],
        "held_out": card_scores(people, p, q, rest, weights, seed),
        "town_crowd": town_scores(weights, seed=seed),
    }
    if families:
        p, q, rest = (
            x[: len(people)] for x in held_out(rows, readings, letters, card, seed=seed, families=families)
        )
        apart = card_scores(people, p, q, rest, weights, seed)
        card["family_held_out"] = {name: apart[name] for name in ("refusal_or_compliance", "by_model")} | {
            "families": list(families)
        }
    out.mkdir(parents=True, exist_ok=True)
    save_file(
        {
            "keys": weights.keys,
            "grams": weights.grams.astype(np.float16),
            "dense": weights.dense.astype(np.float32),
            "bias": weights.bias.astype(np.float32),
            "letters": letters.astype(np.float16),
        },
        out / "refusal.safetensors",
    )
    card["seconds"] = round(time.perf_counter() - started, 1)
    (out / "refusal.json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    return card


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--labels", type=Path, required=True, help="answers with human labels")
    parser.add_argument("--harmless", type=Path, nargs="*", default=[], help="answers to harmless requests")
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help="the folder that refusal.safetensors and refusal.json are written into",
    )
    parser.add_argument(
        "--families",
        nargs="*",
        default=[],
        help="beginnings of names of models that are one, as llama2 for llama2orig and llama2new",
    )
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    card = train(given.labels, given.harmless, given.out, seed=given.seed, families=given.families)
    scores = card["held_out"]
    print(
        json.dumps(
            {"family": mean_only(card["family_held_out"]["refusal_or_compliance"])} if given.families else {}
        )
    )
    print(
        json.dumps(
            {
                name: mean_only(scores[name])
                for name in ("refusal_or_compliance", "with_partial", "outside_band")
            }
            | {
                "by_model": {model: mean_only(one) for model, one in scores["by_model"].items()},
                "three_classes": scores["three_classes"],
                "ece": scores["ece"],
                "town": mean_only(card["town_crowd"]),
                "void": scores["called_void"],
                "seconds": card["seconds"],
                "ngrams": card["ngrams"],
            },
            indent=1,
        )
    )


def mean_only(card: dict[str, Any]) -> dict[str, float]:
    return {
        name: round(value["mean"], 4)
        for name, value in card.items()
        if isinstance(value, dict) and value.get("mean") is not None
    } | {"n": card["n"]}


if __name__ == "__main__":
    main()
