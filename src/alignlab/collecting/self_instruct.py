"""Self-Instruct (Wang et al. 2022, section 2.2): a model writes new requests after the pattern of a few seed
tasks, and answers them itself.

Different from the paper: each request is answered in one go, with no case apart for classification; a model
that chats may be asked by a message.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from typing import Any

from ..errors import DataError
from ..evals.statistics import mean_ci, mean_over
from ..feedback import Judge, values_of
from ..records import Completion, Demonstration, Prompt, question
from ..run import RunDir, derive_seed
from ..sampling import ModelSampler, Sampling
from ..settings import SelfInstructSettings
from ..settings.rules import check
from ..text.rouge import Pool, words
from .demonstrations import answered, first_of, settle

STOP = "\nQuestion:"
NEW = 8  # requests a chat model is asked for at a time
REQUEST_WORDS = frozenset(
    "add answer arrange ask calculate can choose classify combine compare complete compose compute consider "
    "convert correct could count create define "
    "describe design detect determine develop discuss do does edit estimate evaluate explain expand "
    "extract fill find fix generate give given guess how "
    "identify imagine is list make match name offer order organize paraphrase pick plan please predict "
    "prepare present propose prove provide rank read "
    "recommend rephrase replace reply rewrite say select separate should show simplify solve sort state "
    "suggest summarize teach tell think transform "
    "translate turn use verify what when where which who why will would write".split()
)


def run(
    run: RunDir,
    sampler: ModelSampler,
    seeds: Sequence[Demonstration],
    settings: SelfInstructSettings,
    *,
    model: str,
    avoid: Sequence[Prompt] = (),
    known: Callable[[str], Prompt | None] = lambda text: None,
    reader: Callable[[str], Prompt | None] | None = None,
    gold: Judge | None = None,
    seed: int,
) -> dict[str, Any]:
    """New requests and the model's answers into data/demonstrations.jsonl; whatever a filter took out, and
    which, into data/rejected.jsonl.

    Rounds of `batch` requests until `demonstrations` are kept or `rounds` are over. A round is what a killed
    run goes on from.

    Args:
        avoid: prompts whose questions must not be asked, in whatever words: those of a test.
        known: reads a text as a request of known kind and parameters, where it is one. Of others the letters
            tell what is asked.
        reader: reads a request as one that a judge knows, where there is such a judge: for measuring, never
            for filtering.

    Returns:
        The counts of `settle`, `rounds`, `generated`; with a reader `valid` (share of what was kept that it
        can read), `valid_generated` (of all that was generated) and `gold` (of the kept answers whose
        requests it can read).

    Raises:
        ConfigError: settings that cannot be. DataError: no seed tasks, or nothing kept.
    """
    check(settings)
    plain = [d for d in seeds if len(d.prompt.messages) == 1]
    if len(plain) < settings.examples:
        raise DataError(
            f"{len(plain)} seed tasks of one turn, and {settings.examples} are shown at a time",
            remedy="more seeds, or fewer examples",
        )
    similar, openings = Pool(d.prompt.text for d in plain), openings_of(plain)
    taboo = {question(prompt) for prompt in avoid}.union(*(questions_in(p.text, known) for p in avoid))
    rows: list[Demonstration] = []
    made: list[Demonstration] = []
    number = 0
    for number in run.track(range(settings.rounds), desc="self-instruct"):
        one = partial(
            one_round, number, sampler, plain, made, similar, openings, taboo, known, settings, model, seed
        )
        written = run.kept(f"rounds/{number:05d}", one, Demonstration)
        rows += written
        for row in written:
            if not row.rejected:
                made.append(row)
                similar.add(row.prompt.text)
        if len(made) >= settings.demonstrations:
            break
    sampler.close()
    kept, counts = settle(run, rows)
    counts |= {"rounds": number + 1, "generated": len(rows)}
    if reader:
        read = [reader(d.prompt.text) for d in kept]
        counts["valid"] = mean_over(read, lambda prompt: prompt is not None)
        counts["valid_generated"] = mean_over(rows, lambda row: reader(row.prompt.text) is not None)
        if gold:
            readable = []
            for prompt, demonstration in zip(read, kept, strict=True):
                if prompt:
                    readable.append(Completion(prompt, demonstration.completion))
            counts["gold"] = mean_ci(values_of(gold, readable))
    return counts


def one_round(
    number: int,
    sampler: ModelSampler,
    seeds: Sequence[Demonstration],
    made: Sequence[Demonstration],
    similar: Pool,
    openings: Collection[str],
    taboo: Collection[str],
    known: Callable[[str], Prompt | None],
    settings: SelfInstructSettings,
    model: str,
    seed: int,
) -> Iterator[Demonstration]:
    """The requests of one round with their answers, kept and rejected."""
    s, rng = settings.sampling, random.Random(derive_seed(seed, "self-instruct", number))

    # 1. each request is written after a few tasks, most of them seeds
    shown = [draw_examples(rng, seeds, made, settings) for _ in range(settings.batch)]
    asked = [asked_for_more(examples, settings.form) for examples in shown]
    groups = sampler.sample(asked, Sampling.of(s), seed=derive_seed(seed, "requests", number))

    # 2. what is no new request is out
    good: list[tuple[str, dict[str, Any], list[Demonstration]]] = []
    fresh = Pool()
    for examples, (completion,) in zip(shown, groups, strict=True):
        for text, whole in requests_in(completion, settings.form):
            near = max(similar.nearest(text), fresh.nearest(text))
            meta = {
                "kind": "self-instruct",
                "model": model,
                "round": number,
                "examples": [d.prompt.id for d in examples],
                "nearest": round(near, 4),
            }
            wrong = flaw(text, openings, settings)
            reason = first_of(
                (not whole, "not finished"),
                (bool(wrong), wrong),
                (not questions_in(text, known).isdisjoint(taboo), "a question of the test"),
                (near >= settings.similarity, "too like another request"),
            )
            if reason:
                yield answered(Prompt.user(text), "", reason, **meta)
            else:
                fresh.add(text)
                good.append((text, meta, examples))

    # 3. the model answers the others itself
    questions: list[Prompt | str] = []
    for text, _, examples in good:
        questions.append(Prompt.user(text) if settings.form == "chat" else headed(examples, text))
    answers = sampler.sample(
        questions,
        Sampling.of(s, temperature=settings.answer_temperature),
        seed=derive_seed(seed, "answers", number),
    )
    left = settings.demonstrations - len(made)
    for (text, meta, _), (completion,) in zip(good, answers, strict=True):
        answer, stopped = completion.text, ""
        if settings.form == "continue":
            answer, stopped, _ = answer.partition(STOP)
        answer, whole = answer.strip(), completion.finished or bool(stopped)
        reason = first_of(
            (not whole, "the answer is not finished"),
            (not answer, "the answer is empty"),
            (normal(answer) == normal(text), "the answer repeats the request"),
            (left < 1, "more than were wanted"),
        )
        left -= not reason
        yield answered(Prompt.user(text), answer, reason, **meta)


def questions_in(text: str, known: Callable[[str], Prompt | None]) -> set[str]:
    """What a text asks: by its letters, and by kind and parameters where they are known."""
    asked = {question(Prompt.user(text))}
    if prompt := known(text):
        asked.add(question(prompt))
    return asked


def draw_examples(
    rng: random.Random,
    seeds: Sequence[Demonstration],
    made: Sequence[Demonstration],
    settings: SelfInstructSettings,
) -> list[Demonstration]:
    """`examples` different tasks in random order: a share `from_generated` of them (in the mean) from the
    model's own, the others seeds.
    """
    own = min(sum(rng.random() < settings.from_generated for _ in range(settings.examples)), len(made))
    examples = [*rng.sample(list(made), own), *rng.sample(list(seeds), settings.examples - own)]
    rng.shuffle(examples)
    return examples


def headed(examples: Sequence[Demonstration], question: str = "") -> str:
    """Tasks under headings, as a document that goes on with a question or, to a question, with its answer:
    what any base model can continue.
    """
    text = ""
    for task in examples:
        text += f"Question: {task.prompt.text}\nAnswer: {task.completion}\n"
    return text + (f"Question: {question}\nAnswer:" if question else "Question:")


def asked_for_more(examples: Sequence[Demonstration], form: str) -> Prompt | str:
    """What the model is given so that it writes new requests."""
    if form == "continue":
        return headed(examples)
    tasks = "\n".join(f"{i}. {d.prompt.text}" for i, d in enumerate(examples, 1))
    return Prompt.user(
        f"These are tasks that people give to an assistant:\n{tasks}\n\nWrite {NEW} new tasks, as different "
        "from these and from each other as you can. Number them in the same way, one a line, and write "
        "nothing else."
    )


def requests_in(completion: Completion, form: str) -> list[tuple[str, bool]]:
    """The requests in what the model wrote, and whether each is whole."""
    if form == "continue":
        text, ended, _ = completion.text.partition("\n")
        return [(text.strip(), bool(ended) or completion.finished)]
    requests: list[tuple[str, bool]] = []
    for line in completion.text.split("\n"):
        if match := re.fullmatch(r"\s*\d+[.):]\s*(.+)", line):
            requests.append((match[1].strip(), True))
    if not requests:
        return [(completion.text.strip(), False)]
    requests[-1] = requests[-1][0], completion.finished  # the last one may be cut
    return requests


def flaw(text: str, openings: Collection[str], settings: SelfInstructSettings) -> str:
    """Why a text is no request that could be answered; "" if nothing speaks against it."""
    count = len(text.split())
    if count < settings.min_words:
        return "too short" if text else "empty"
    if count > settings.max_words:
        return "too long"
    if blocked := set(words(settings.blocked)) & set(words(text)):
        return f"a blocked word ({min(blocked)})"
    return "" if is_request(text, openings) else "not a request"


def openings_of(seeds: Sequence[Demonstration]) -> frozenset[str]:
    """The words with which requests begin: those of the seeds, and the usual ones."""
    openings: set[str] = set(REQUEST_WORDS)
    for task in seeds:
        openings.update(words(task.prompt.text)[:1])
    return frozenset(openings)


def is_request(text: str, openings: Collection[str]) -> bool:
    """By its form: it ends in a question mark, or one of its sentences begins as requests do; it begins with
    a letter or a digit.
    """
    if not text[:1].isalnum():
        return False
    if text.endswith("?"):
        return True
    for sentence in re.split(r"(?<=[.!?:])\s+", text):
        if words(sentence) and words(sentence)[0] in openings:
            return True
    return False


def normal(text: str) -> str:
    """A text for telling whether it is the same as another: words alone."""
    return " ".join(words(text))
