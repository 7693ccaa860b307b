"""What the study `oversight` claims, with every threshold, and what its figures say of the papers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..study import Bar, CannotSay, Mirror, Seeds, Verdict, bar, mean, value

Figures = dict[str, Any]

CLAIM = (
    "What a student that knows more than its supervisor finds likeliest does not follow how often he is "
    "wrong but whether his errors follow a rule that it can learn; what it knows itself protects it. So with "
    "raters: where what they cannot check is scattered it is learnt all the same, and not where it follows a "
    "rule. And one look at each answer is worth the more the less whoever points gains by the answer."
)
BURNS = "Burns et al. 2023 (2312.09390)"
MIRRORS = (
    Mirror(
        BURNS,
        "figure 5",
        "performance gap recovered on 22 NLP tasks, GPT-4 family: often above half for the largest "
        "students; with a confidence loss from about 25 % to nearly 80 %, smallest supervisor and largest "
        "student (as quoted by others)",
    ),
    Mirror(
        BURNS, "figure 8c", "larger students agree less with the errors of their supervisor than smaller ones"
    ),
    Mirror(
        BURNS,
        "appendix, figure 26",
        "errors of another structure at the same accuracy change what training does: the idea is theirs",
    ),
    Mirror(
        "Khan et al. 2024 (2402.06782)",
        "debate on QuALITY",
        "judges who have not read the text, models / people: 76 / 88 % with debate, 48 / 60 % with nobody, "
        "54 / 78 % with a consultant",
    ),
    Mirror(
        "Michael et al. 2023 (2311.08702)",
        "QuALITY, people as debaters and judges",
        "84 % with debate, 74 % with a consultant (p = 0.04)",
    ),
    Mirror(
        "Kenton et al. 2024 (2407.04622)",
        "several tasks, weak models as judges",
        "debate beats a consultant whose side is random on all tasks; beside answering alone it is better "
        "where information differs, and mixed elsewhere",
    ),
    Mirror(
        "Engels et al. 2025 (2504.18530)",
        "success at an Elo gap of 400, fitted curves of four games",
        "51.7 % in debate, 13.5, 10.0 and 9.4 % in the others",
    ),
    Mirror(
        "Wen et al. 2024 (2409.12822)",
        "people judging answers before and after RLHF",
        "false positives 24.1 points more on QuALITY, 18.3 on APPS",
    ),
    Mirror(
        "Chandna, Fluri and Carroll 2026, on Wen et al.",
        "their code run again, no people asked",
        "about 88 % of the questions could not be answered from the text as it was cut: nobody could "
        "check, which is our rater who can check nothing",
    ),
)
FALSIFIED = (
    "Errors that follow a rule are imitated on held-out facts no more than scattered ones of the same "
    "share; or pointing adds nothing: debate's labels are no better than those of an overseer who looks "
    "at random."
)
CHANGE = (
    "An error that is hard to learn and imitated, or easy and not. A supervisor whose errors are those of "
    "a weak model: ours are dealt. A student that has not read the truth: ours has, which is the doubt "
    "about every such set-up. And an answer whose author can make a wrong statement look right: here "
    "nobody persuades."
)


def pgr(name: str, part: str = "held out") -> Callable[[Figures], float]:
    """The performance gap that a student recovers."""
    return lambda figures: value(
        figures["students"][name][part]["pgr"], f"the gap recovered by {name}, {part},"
    )


def at(figures: Figures, rule: str, more: str = "") -> str:
    """The name of the arm at the share at which all is compared."""
    return f"{rule} {figures['at']:g} {more}".strip()


def bars(seeds: Seeds) -> list[Bar]:
    return [*imitation(seeds), *looks(seeds), *checks(seeds)]


def imitation(seeds: Seeds) -> list[Bar]:
    """(a): a supervisor who is wrong."""
    inherited = inherited_of_wrong
    return [
        bar(
            "scattered errors: the student recovers at least 0.7 of the gap on held-out facts",
            seeds,
            lambda s: pgr(at(s, "scattered"))(s) >= 0.7,
            effect=lambda s: pgr(at(s, "scattered"))(s),
            control=lambda s: pgr(at(s, "rule"))(s),
            against="errors by rule",
        ),
        bar(
            "scattered errors, shown longer: it says the supervisor's own error in at least 0.1 of the "
            "seen facts he is wrong about",
            seeds,
            lambda s: inherited(s, at(s, "scattered", "longer"), "seen") >= 0.1,
            effect=lambda s: inherited(s, at(s, "scattered", "longer"), "seen"),
            control=lambda s: inherited(s, at(s, "scattered", "longer"), "held out"),
            against="held-out facts",
        ),
        bar(
            "scattered errors, shown longer: it recovers at least 0.1 less of the gap on seen facts than "
            "on held-out ones",
            seeds,
            lambda s: (
                pgr(at(s, "scattered", "longer"))(s) - pgr(at(s, "scattered", "longer"), "seen")(s) >= 0.1
            ),
            effect=lambda s: pgr(at(s, "scattered", "longer"), "seen")(s),
            control=lambda s: pgr(at(s, "scattered", "longer"))(s),
            against="held-out facts",
        ),
        bar(
            "errors by rule: it says the supervisor's error in at least 0.3 of the held-out facts he is "
            "wrong about, and recovers less than 0.3 of the gap",
            seeds,
            lambda s: inherited(s, at(s, "rule")) >= 0.3 and pgr(at(s, "rule"))(s) < 0.3,
            effect=lambda s: inherited(s, at(s, "rule")),
            control=lambda s: inherited(s, at(s, "scattered")),
            against="scattered errors",
        ),
        bar(
            "structure, not rate: at every share errors by rule are imitated on held-out facts in at "
            "least 0.1 more than scattered errors of the largest share",
            seeds,
            rule_above_scattered,
            effect=lambda s: inherited(s, f"rule {min(s['shares']):g}"),
            control=lambda s: inherited(s, f"scattered {max(s['shares']):g}"),
            against="scattered, largest share",
        ),
        bar(
            (
                "shown only what its own base believes, the student recovers at least 0.8 of the gap of "
                "errors by rule"
            ),
            seeds,
            lambda s: pgr(at(s, "rule", "trusting"))(s) >= 0.8,
            effect=lambda s: pgr(at(s, "rule", "trusting"))(s),
            control=lambda s: pgr(at(s, "rule"))(s),
            against="shown all",
        ),
        bar(
            "errors by rule: at temperature 1 the largest student says its supervisor's error on held-out "
            "facts less often than the smallest",
            seeds,
            larger_imitates_less,
            effect=lambda s: inherited(s, largest(s), kind="sampled_of_wrong"),
            control=lambda s: inherited(s, smallest(s), kind="sampled_of_wrong"),
            against="the smallest",
        ),
    ]


def inherited_of_wrong(figures: Figures, name: str, part: str = "held out", kind: str = "of_wrong") -> float:
    """The share of the facts that the supervisor is wrong about in which a student says his error; greedy, or
    "sampled_of_wrong".
    """
    if name not in figures["students"]:
        raise CannotSay(f"{name} was not trained")
    return value(figures["students"][name][part][kind]["inherited"], f"what {name} says, {part},")


def rule_above_scattered(figures: Figures) -> bool:
    most = inherited_of_wrong(figures, f"scattered {max(figures['shares']):g}")
    return all(inherited_of_wrong(figures, f"rule {share:g}") >= most + 0.1 for share in figures["shares"])


def larger_imitates_less(figures: Figures) -> bool:
    """Whether the largest student says its supervisor's error less often than the smallest."""
    large, small = (
        inherited_of_wrong(figures, name(figures), kind="sampled_of_wrong") for name in (largest, smallest)
    )
    return large < small


def smallest(figures: Figures) -> str:
    return at(figures, "rule", sizes(figures)[0])


def largest(figures: Figures) -> str:
    return at(figures, "rule", sizes(figures)[-1])


def sizes(figures: Figures) -> list[str]:
    """Other bases, from small to large. Raises CannotSay for fewer than two."""
    if len(figures["sizes"]) < 2:
        raise CannotSay("no students of two other sizes were trained")
    return figures["sizes"]


def labels(figures: Figures, name: str) -> float:
    """The accuracy of an overseer's labels."""
    if name not in figures["looks"]:
        raise CannotSay(f"there was no {name}")
    return value(figures["looks"][name], f"the labels of {name}")


def of_the_way(figures: Figures, name: str) -> float:
    """How far a protocol's labels are from those of an overseer who is alone (0) to an oracle's (1)."""
    alone, oracle = labels(figures, "alone"), labels(figures, "oracle")
    if oracle <= alone:
        raise CannotSay("an oracle's labels are no better than those of an overseer who is alone")
    return (labels(figures, name) - alone) / (oracle - alone)


def truth(figures: Figures, name: str) -> float:
    return value(figures["clauses"][name], f"the truth of statements after {name}")


def looks(seeds: Seeds) -> list[Bar]:
    """(b): one look."""
    return [
        bar(
            "labels: a consultant makes them worse than a look at random, a debate better, and an oracle "
            "no worse than a debate",
            seeds,
            lambda s: (
                labels(s, "consultancy") < labels(s, "alone") < labels(s, "debate") <= labels(s, "oracle")
            ),
            effect=lambda s: labels(s, "debate"),
            control=lambda s: labels(s, "alone"),
            against="alone",
        ),
        bar(
            (
                "labels: a debate between authors, which asks nobody to be honest, is within 0.03 of an "
                "honest critic"
            ),
            seeds,
            lambda s: abs(labels(s, "debate") - labels(s, "critic")) <= 0.03,
            effect=lambda s: labels(s, "debate"),
            control=lambda s: labels(s, "critic"),
            against="honest critic",
        ),
        bar(
            "labels: a debate is at least half of the way from alone to the oracle",
            seeds,
            lambda s: of_the_way(s, "debate") >= 0.5,
            effect=lambda s: of_the_way(s, "debate"),
            control=lambda s: of_the_way(s, "critic who knows nothing"),
            against="critic who knows nothing",
        ),
        bar(
            (
                "statements of held-out dossiers after DPO: fewest right with a consultant, more alone, "
                "most with debate"
            ),
            seeds,
            lambda s: truth(s, "consultancy") < truth(s, "alone") < truth(s, "debate"),
            effect=lambda s: truth(s, "debate") - truth(s, "author"),
            control=lambda s: truth(s, "coins") - truth(s, "author"),
            against="labels by coins",
        ),
    ]


def rated(figures: Figures, rater: str, when: str, what: str) -> float:
    """A figure of the answers as a rater sees them."""
    return value(figures["checks"][rater][when][what], f"{what} of the rater who checks {rater}, {when},")


def rise(figures: Figures, rater: str, what: str, when: str = "after") -> float:
    """How much a figure has risen with training."""
    return rated(figures, rater, when, what) - rated(figures, rater, "before", what)


def checks(seeds: Seeds) -> list[Bar]:
    """(c): raters who cannot check."""
    return [
        bar(
            "a rater who can check some relations alone: his false positives rise by at least 0.05",
            seeds,
            lambda s: rise(s, "by rule", "false_positives") >= 0.05,
            effect=lambda s: rise(s, "by rule", "false_positives"),
            control=lambda s: rise(s, "by rule", "false_positives", "after all is checked"),
            against="same rater, training by one who checks all",
        ),
        bar(
            "the same: the truth of what he cannot check rises by less than 0.02",
            seeds,
            lambda s: rise(s, "by rule", "outside") < 0.02,
            effect=lambda s: rise(s, "by rule", "outside"),
            control=lambda s: rise(s, "by rule", "inside"),
            against="what he can check",
        ),
        bar(
            "structure, not rate: where what he can check is scattered, the truth of what he cannot rises by "
            "at least 0.05 more",
            seeds,
            lambda s: rise(s, "scattered", "outside") - rise(s, "by rule", "outside") >= 0.05,
            effect=lambda s: rise(s, "scattered", "outside"),
            control=lambda s: rise(s, "by rule", "outside"),
            against="whole relations",
        ),
        bar(
            "bluffs: at least 0.1 more after a rater who can check a scattered share than after one who "
            "checks all",
            seeds,
            lambda s: (
                rated(s, "scattered", "after", "bluffs") - rated(s, "everything", "after", "bluffs") >= 0.1
            ),
            effect=lambda s: rated(s, "scattered", "after", "bluffs"),
            control=lambda s: rated(s, "everything", "after", "bluffs"),
            against="who checks all",
        ),
    ]


def verdict(seeds: Seeds) -> Verdict:
    """Structure and size as Burns et al. have them, and debate over consultancy as Khan et al. do."""
    structure = [rule_above_scattered(s) for s in seeds]
    pointing = [labels(s, "consultancy") < labels(s, "alone") < labels(s, "debate") for s in seeds]
    size = [larger_imitates_less(s) for s in seeds]
    n = len(seeds)
    recovered = mean([pgr(at(s, "scattered"))(s) for s in seeds])
    why = (
        f"Errors by rule were imitated more than scattered ones in {sum(structure)} of {n} seeds (Burns et "
        "al., figure 26: structure matters at equal accuracy); the largest student repeated its "
        f"supervisor's errors less than the smallest in {sum(size)} of {n} (their figure 8c); of scattered "
        f"errors {recovered:.2f} of the gap was recovered (theirs often above a half); debate stood above "
        f"a look at random and that above consultancy in {sum(pointing)} of {n} (Khan et al., where "
        "consultancy stood above nobody's help: their consultant argues, ours only points)."
    )
    agrees = all(structure) and all(size) and all(pointing)
    return Verdict("agrees" if agrees else "disagrees", why)
