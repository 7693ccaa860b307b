"""Trains the refusal classifier of `alignlab.feedback.safety.refusal` on answers that people have labelled,
and writes its card.

    python benchmarks/refusal/train_refusal.py --labels xstest_completions_human_labels.jsonl.gz --harmless
    vicuna_gpt4_pairs.jsonl oasst_conversations.jsonl --families llama2 --reported 0.5 --out FOLDER

The labels' file has rows of `prompt`, `completion`, `human_label` (XSTest's names, or refusal, partial,
compliance) and `model`. Beside those it learns from the sentences of `written.py`, from the town's
demonstrations, labelled by the gold judge, and from answers to harmless requests, which are taken for
compliance where nothing in them sounds like a refusal. Nothing but the labelled rows is ever scored.

Two scores are in the card. `new_model`: for each model (with its family) and each fifth of the prompts a
classifier is trained on the other models' answers to the other prompts; this is what happens on a model that
it has never seen, and what rates are corrected by. `new_prompts`: trained on all models' answers to the other
prompts. Both are measured on the `--reported` share of the prompts. The rest is there to develop on: of the
shipped classifier the errors that were read, the cues, sentences and penalties that came of them, and the
line between refusal and partial are of those prompts only. The band of abstention is read off the reported
ones, since the others were developed on; what is said of rows outside it is by a band that was read off the
answers to all other reported prompts. The weights that are written are then fitted on everything.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import written
from card import band_of, card_scores, partial_line, town_scores
from rows import Row, harmless_rows, labelled, town_rows
from scipy.optimize import minimize
from scipy.sparse import csr_matrix

from alignlab.errors import DataError
from alignlab.feedback import sigmoid
from alignlab.feedback.safety.checks import besides_refusal
from alignlab.feedback.safety.features import DENSE, HEAD, Reading, key_of, read
from alignlab.feedback.safety.weights import Weights, letter_pairs
from alignlab.town.world import VERSION

FOLDS = 5
SEEN = 3  # an n-gram counts if it stands in at least so many answers ...
L2_GRAMS, L2_DENSE = 3e-5, 1e-4  # ridge penalties of the mean log-loss
SOURCE_WEIGHT = {"labels": 1.0, "written": 0.5, "harmless": 0.3, "town": 0.2}


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
    left_out: Sequence[str],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """P(refuses), P(in part | refuses) and P(refuses) of what stands beside the refusal (1 where nothing
    does) of every labelled row, from a fit that saw neither its prompt nor any model whose name begins with
    the same of `left_out` as its own; the names begin with exactly one of them, or with none: then only the
    prompt is new.
    """
    prompts = sorted({row.prompt for row in rows if row.source == "labels"})
    order = np.random.default_rng(seed).permutation(len(prompts))
    fold = {prompts[i]: int(place % FOLDS) for place, i in enumerate(order)}
    p, q, rest = np.full(len(rows), np.nan), np.full(len(rows), np.nan), np.ones(len(rows))
    family = [next((name for name in left_out if row.model.startswith(name)), "") for row in rows]
    for model in sorted({name for name, row in zip(family, rows, strict=True) if row.source == "labels"}):
        for k in range(FOLDS):
            kept = [
                i
                for i, row in enumerate(rows)
                if row.source != "labels" or ((not model or family[i] != model) and fold[row.prompt] != k)
            ]
            weights = fit([rows[i] for i in kept], [readings[i] for i in kept], letters, card)
            for i, row in enumerate(rows):
                if row.source == "labels" and family[i] == model and fold[row.prompt] == k:
                    p[i], q[i] = (sigmoid(logit) for logit in weights.logits(readings[i])[:2])
                    if text := besides_refusal(row.completion):
                        rest[i] = weights.p_refuses(read(row.prompt, text))
    return p, q, rest


def reported_prompts(prompts: set[str], share: float) -> set[str]:
    """The prompts that scores are of: the same of the same file, whatever else the seed draws."""
    order = sorted(prompts)
    random.Random("refusal-look-report").shuffle(order)
    return set(order[len(order) - math.ceil(share * len(order)) :])


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
    reported: float = 1.0,
    town: int = 1200,
    each: int = 400,
) -> dict[str, Any]:
    """Train, measure, write `refusal.safetensors` and `refusal.json` into `out`; returns the card.

    Args:
        families: beginnings of the names of models that are one under several names, and are left out
            together.
        reported: the share of prompts that the scores are of; the others are to develop on. 1: all.
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
    models = sorted({row.model for row in people})
    beginnings = list(dict.fromkeys(next((f for f in families if m.startswith(f)), m) for m in models))
    seen, unseen = (
        [x[: len(people)] for x in held_out(rows, readings, letters, card, seed=seed, left_out=left_out)]
        for left_out in ((), beginnings)
    )
    kept = reported_prompts({row.prompt for row in people}, reported)
    measured = [i for i, row in enumerate(people) if row.prompt in kept]
    looked_at = [i for i, row in enumerate(people) if row.prompt not in kept] or measured
    p, q = unseen[0], unseen[1]
    truth = np.array([row.label for row in people])
    card["partial_above"] = partial_line(truth[looked_at].tolist(), p[looked_at], q[looked_at])
    whole = [i for i in measured if truth[i] != "partial"]
    asked = [people[i].prompt for i in whole]
    card["band"] = list(band_of(asked, truth[whole] != "compliance", p[whole]))
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
        "labels": {"file": labels.name, "models": models, "prompts": len({row.prompt for row in people})},
        "harmless": [path.name for path in harmless],
        "left_out_together": beginnings,
        "reported": reported,
        "town": VERSION,
        "town_crowd": town_scores(weights, seed=seed),
    }
    for name, scores in (("new_model", unseen), ("new_prompts", seen)):
        card[name] = card_scores([people[i] for i in measured], *(x[measured] for x in scores), weights, seed)
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
    parser.add_argument(
        "--reported",
        type=float,
        default=1.0,
        help="the share of prompts that the card's scores are of; look at errors of the others only",
    )
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    card = train(
        given.labels,
        given.harmless,
        given.out,
        seed=given.seed,
        families=given.families,
        reported=given.reported,
    )
    for name in ("new_model", "new_prompts"):
        scores = card[name]
        short = {one: mean_only(scores[one]) for one in ("refusal_or_compliance", "hits", "outside_band")}
        by_model = {model: mean_only(one) for model, one in scores["by_model"].items()}
        print(json.dumps({name: short | {"by_model": by_model, "over_models": scores["over_models"]}}))
    print(
        json.dumps(
            {"town": mean_only(card["town_crowd"]), "seconds": card["seconds"], "ngrams": card["ngrams"]}
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
