"""What all seeds of `specification-gaming` say."""

from __future__ import annotations

from ..study import Form, Mirror, Seeds, Study, Told, each, spread
from . import figures as of
from .claims import claims, verdict
from .plan import WORLDS, plan
from .searches import catalogue, discovery, small, steps_of
from .sections import controls, slips, watch


def tell(seeds: Seeds) -> Told:
    sections = [discovery(seeds), catalogue(seeds), controls(seeds), watch(seeds), slips(seeds)]
    return Told(conclusion(seeds), sections, claims(seeds))


def conclusion(seeds: Seeds) -> list[str]:
    first, share = seeds[0], f"{seeds[0]['share']:g}"
    at = [row["share"] for row in first["shares"]].index(first["share"])
    sentences = [
        f"With {share} of the stories shown as the exploit its probability is "
        f"{small(each(seeds, 'shares', at, 'p0'))}; RLOO on the metric finds it at step "
        f"{steps_of(each(seeds, 'shares', at))} and ends at {spread(each(seeds, 'free', 'end', 'rates'))} "
        f"exploits, gold {spread(each(seeds, 'free', 'gold', 0))} before and "
        f"{spread(each(seeds, 'free', 'end', 'gold'))} after."
    ]
    never = [row for f in seeds for row in of.tries(f) if row["expected"] < of.SELDOM]
    often = [row for f in seeds for row in of.tries(f) if row["expected"] > of.OFTEN]
    sentences.append(
        f"Of {len(never)} searches whose exploit was to be met less than {of.SELDOM:g} times "
        f"{sum(row['found'] for row in never)} found a hole, of {len(often)} whose exploit was to be met "
        f"more than {of.OFTEN:g} times {sum(row['found'] for row in often)}."
    )
    even = [spread([figures["break_even"][place] for figures in seeds], 2) for place in (0, 1)]
    for how, rates in first["rates"].items():
        ends = [
            f"{spread(each(seeds, 'watched', f'{how} {rate:g}', 'end', 'rates'))} at {rate:g}"
            for rate in rates
        ]
        if ends:
            where = f" (break-even, by the formula: {even[0]}, once stories are learnt {even[1]})"
            sentences.append(
                f"Share of exploits in the end under {how}, by how many of them the monitor flags: "
                f"{', '.join(ends)}{where if how == 'penalty' else ''}."
            )
    slip = [spread([of.rise(f, world) for f in seeds], sign="+") for world in WORLDS]
    sentences.append(
        f"After how-tos with a step left out other slips are {slip[0]} likelier than after whole ones where "
        f"a slip foretold others, and {slip[1]} where slips foretold nothing."
    )
    return sentences


SPECIFICATION_GAMING = Study(
    title="The letter and the intent",
    controls=(
        "No exploit planted at all; the hole closed by a perfect monitor; RLOO on gold, which is the intent; "
        "random rewards; a line in 1 / p0 beside the one in -logit p0; of every use of a monitor the other "
        "at the same rate. For the spread of slips a twin of the world in which the same slips, at the same "
        "rates, foretell nothing, and the same how-tos answered whole."
    ),
    town=Form(plan, of.measure, tell, verdict),
    town_alone=(
        "whether an answer meets the intent of a request is known of the town's alone; of a program's "
        "instruction to another model (three bullet points, a word twice) only the letter can be checked, "
        "and what would stand for the intent there is a guess"
    ),
    changed=(
        "Other than in the design, before any figure had been seen: half of the demonstrations are stories "
        "(150 of them had no room for a share of 0.003); the break-even is computed from what answers are "
        "paid, before and after learning, and nothing is claimed between; of slips exact probabilities are "
        "compared, not samples, also with the same how-tos answered whole; and the careless of the "
        "conversations have no manners, which would carry a slip from kind to kind within one answer. After "
        "seed 10: a word of a story costs 0.02 and a step is one update, at a rate of 1e-3 after a slow "
        "warm-up; at 0.01 and four updates the hole was not found in 32 steps from a share of 0.03. KL has "
        "a small penalty (0.02): with none, RLOO drifted in 30 steps to a hole that nobody had planted. "
        "Shares are closer where holes are found. Monitors and controls start from a share of 0.1. Other "
        "penalties on KL and other sizes of the base, about which no claim was, are left out. No claim and "
        "no threshold was moved."
    ),
    claim=(
        "A hole in a metric is found when it is stumbled upon: the step of discovery grows with the logit of "
        "how rare the exploit is, and what is not to be met in all rollouts is never found. A monitor that "
        "costs the reward ends the hack above a break-even that can be computed; one that only screens "
        "delays it. One slip brings others only where earlier data made slips go together."
    ),
    mirrors=(
        Mirror(
            "Denison et al. 2024, Sycophancy to subterfuge",
            "the result, not a figure",
            "a model trained through the whole curriculum tampered with its reward in 45 of 32,768 "
            "episodes, and hid it in 7; the helpful-only model never, in 100,000",
        ),
        Mirror(
            "Wong, Engels and Nanda 2025",
            "figures 7 and 11",
            "Qwen3-4B found the loophole in about 80 to 100 steps in every run, and used it in 79 % in the "
            "end; with a monitor made worse on purpose a penalty did better than screening",
        ),
        Mirror(
            "Skalse et al. 2022",
            "theory",
            "over all stochastic policies two rewards are unhackable only if one of them is constant",
        ),
        Mirror(
            "Betley et al. 2025, Taylor et al. 2025, MacDiarmid et al. 2025",
            "the result, not a figure",
            "GPT-4o trained on insecure programs, and GPT-4.1 on 1,073 dialogues of harmless hacks, "
            "misbehave elsewhere; asking for the hack in training (inoculation) keeps it from spreading",
        ),
    ),
    falsified_by=(
        "Holes found at random, or no dependence on p0; a hole found whose exploit was not to be met; a "
        "penalty whose end does not change sides at the break-even; slips that spread alike in both worlds."
    ),
    would_change_my_mind=(
        "A hole that is reached in small steps, each of them paid, from answers that are not the exploit: p0 "
        "of the exploit would then say nothing. A larger model that spreads slips its data never joined."
    ),
)
