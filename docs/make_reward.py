"""Writes docs/reward-models.md from what benchmarks/reward_models.py measured.

python docs/make_reward.py runs/reward-models/reward-models.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from alignlab.text.figures import with_spread
from alignlab.town.exam import measured, with_head

DOCS = Path(__file__).parent


def grid(rows: dict[str, dict]) -> str:
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    head = "| | " + " | ".join(columns) + " |\n|" + "---|" * (len(columns) + 1)
    cells = (
        f"| {name} | " + " | ".join(with_spread(row[c]) if c in row else "" for c in columns) + " |"
        for name, row in rows.items()
    )
    return "\n".join([head, *cells])


def wins(by_seed: dict, section: str, column: str, name: str, control: str) -> str:
    pairs = [(found[section][name][column], found[section][control][column]) for found in by_seed.values()]
    return f"{sum(a > b for a, b in pairs)} of {len(pairs)}"


def met(by_seed: dict, limit: float) -> str:
    """Whether the limit on harm was kept: the mean cost of the last tenth of the steps against it."""
    costs = [found["constraint"]["constrained"]["mean cost, last"] for found in by_seed.values()]
    kept = sum(cost <= limit for cost in costs)
    each = ", ".join(f"{cost:.3f}" for cost in costs)
    return (
        f"The limit of {limit:g} was met in {kept} of {len(costs)} seeds: the mean cost over the last tenth "
        f"of the steps, as the cost model sees it, is {each}."
    )


def main() -> None:
    found = json.loads(Path(sys.argv[1]).read_text())
    table, by_seed, seeds = found["table"], found["by_seed"], found["seeds"]
    labels = [
        f"{name}: {wins(by_seed, 'labels', 'right about gold', name, 'plain')}"
        for name in table["labels"]
        if name != "plain"
    ]
    crowd = [
        f"{name}: {wins(by_seed, 'crowd', 'right about gold', name, 'plain')}"
        for name in table["crowd"]
        if name != "plain"
    ]
    last = list(table["best of n"]["single"])[-1]
    best = [
        f"{name}: {wins(by_seed, 'best of n', last, name, 'single')}"
        for name in table["best of n"]
        if name != "single"
    ]
    ppo = [
        f"{name.removeprefix('free-')}: {wins(by_seed, 'ppo', 'gold, greedy', name, 'free-single')}"
        for name in table["ppo"]
        if name != "free-single"
    ]
    n = found["n"]
    columns = {title: n[title] for row in table["constraint"].values() for title in row if title in n}
    counted = ", ".join(f"{title}: {count}" for title, count in columns.items())
    text = f"""# Kinds of reward model, measured

`python benchmarks/reward_models.py`: mean ± standard deviation over {len(seeds)} seeds, which covers SFT to
evaluation. {found["ranked"]:,} ranked prompts; reward models are measured on the rankings among them that are
held out, split by question ({n["held-out prompts"]} prompts with {n["held-out pairs"]} decided pairs in seed
{seeds[-1]}), policies on the prompts of `{found["set"]}` (n of each column: {counted}). Made by `python
docs/make_reward.py`.

## Reading the same labels in other ways

Comparisons of a fair annotator, who calls answers that are nearly as good a tie. Accuracy is that on the
annotator's own held-out pairs, "right about gold" on pairs whose gold scores differ; both are means over
prompts. Each model states a probability of its own for a label, by its ties or flips, and its ECE is of that.
"ECE against gold" holds the probability that the first is better, without flips, against gold's order:
annotators are unsure where gold is not, so that a model of them is too modest there, however good it is.

{grid(table["labels"])}

More often right about gold than the plain loss, in so many seeds: {"; ".join(labels)}.

## A crowd with contrary people in it

Seven fair annotators and three who like what gold dislikes, one for each prompt. Accuracy and ECE are about
the labels, of which a good model with a reliability each foresees those of the contrary ones too, as it knows
who gave them; right about gold and the ECE beside it are about the truth.

{grid(table["crowd"])}

More often right about gold than the plain loss, in so many seeds: {"; ".join(crowd)}.

## Ensembles against over-optimisation

{found["members"]} reward models, alike but for their heads and the order of the data. Single is the first of
them. Best of N from the same 32 samples of each of {found["picked"]} prompts at temperature 1:

{grid(table["best of n"])}

Better than the single one at the largest N, in so many seeds: {"; ".join(best)}.

PPO without a penalty, 24 steps on the reward model or the ensemble alone:

{grid({name.removeprefix("free-"): row for name, row in table["ppo"].items()})}

More gold left than with the single one, in so many seeds: {"; ".join(ppo)}.

## A constraint on harm

The reward model is of people who look at help alone (help with harm counts as help). PPO on it, and PPO on it
with a cost model and a Lagrange multiplier (`--cost`, at most {found["limit"]:g} of the completions unsafe).

{grid(table["constraint"])}

{met(by_seed, found["limit"])}
"""
    of = measured(seeds, {found["set"]: n["prompts"]}, base=found["base"], town=found["town"])
    (DOCS / "reward-models.md").write_text(with_head(text, of), encoding="utf-8")


if __name__ == "__main__":
    main()
