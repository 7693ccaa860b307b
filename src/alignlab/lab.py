"""alignlab from Python, for a script or a notebook: models, data, judges and batches by one verb each.

    from alignlab import lab, losses

The verbs are thin names over what the commands use. They hold no method: a loop is yours to write, with the
losses of `alignlab.losses`, or `alignlab.methods` has it written out. Models, data and judges are named as on
the command line; in place of data there may be a list of rows or records, in place of a judge a function.
Everything drawn follows from `seed`. Nothing heavy is imported before the first verb.

A tensor's name ends in its shape: B rows of a batch, T tokens of the longest, N completions, P pairs. What is
wrong with a name, a file or a row is a `UserError` that says what, where and what mends it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from . import names
from .errors import DataError
from .records import Comparison, Completion, Demonstration, Prompt, Ranking, Record
from .text.escapes import visible

if TYPE_CHECKING:
    from torch import Tensor

    from .data.formats import Want
    from .feedback import Judge
    from .models.batch import Batch
    from .models.chat import Rendered
    from .models.optimizer import MasterAdamW
    from .models.policy import Policy, RewardModel

__all__ = [
    "policy",
    "reward_model",
    "save",
    "prompts",
    "demonstrations",
    "comparisons",
    "split",
    "draw",
    "answer",
    "others",
    "judge",
    "score",
    "rank",
    "batch",
    "batches",
    "logprobs",
    "pair_scores",
    "adam",
]

Data: TypeAlias = "str | Path | Iterable[str | Mapping[str, Any] | Record]"
"""Data by name, or rows in a format of the field, records, and for prompts plain texts, that are in hand."""
Who: TypeAlias = "str | Callable[..., Any] | Judge | RewardModel"
"""Who scores: a judge by name, a function, a judge, a reward model."""
Item: TypeAlias = "Demonstration | Comparison | Ranking | Completion"
"""What becomes rows of a batch: one of its own, or one for each of its completions."""


# --- models


def policy(name: str = "town", *, trainable: bool = True) -> Policy:
    """A model that writes.

    Args:
        name: town, town-s, town-m, town-l, a run folder, a model folder, a hub name or a .gguf file.
        trainable: its weights require gradients; False for a model that is only asked, such as a reference.

    Returns:
        A `Policy`, with `.model` and `.tokenizer` of transformers.

    Raises:
        ModelError: no such model, or a folder that is not sound.

    >>> policy("town-s").name
    'town-s'
    """
    from .models.load import load_policy
    from .settings import ModelSettings

    loaded = load_policy(names.models.model(name).path, ModelSettings(), trainable=trainable)
    loaded.name = name
    return loaded


def reward_model(name: str = "town", *, seed: int = 0, trainable: bool = True) -> RewardModel:
    """A model with a scalar head: a reward model as it is, or any other model under a new head, drawn from
    N(0, 1 / (hidden size + 1)) (Stiennon et al. 2020) by the seed.

    Raises:
        ModelError: as for `policy`.
    """
    from .models.folder import is_reward
    from .models.load import load_reward_model
    from .settings import ModelSettings

    path = names.models.model(name).path
    new_head = not is_reward(Path(path))
    loaded = load_reward_model(path, ModelSettings(), init_head=new_head, head_seed=seed, trainable=trainable)
    loaded.name = name
    return loaded


def save(model: Policy | RewardModel, folder: str | Path, *, card: str = "") -> Path:
    """Keep a model in a folder, whole or not at all: transformers loads it, and so does every command.

    Args:
        card: the text of the folder's README.
    """
    from .models.policy import Policy
    from .models.saving import save_policy, save_reward_model

    keep = save_policy if isinstance(model, Policy) else save_reward_model
    keep(cast("Any", model), folder, card=card)
    return Path(folder)


# --- data


def prompts(data: Data, *, count: int = 0, seed: int = 0) -> list[Prompt]:
    """Prompts, each with the other columns of its row, which a judge may ask for.

    Args:
        count: at most so many; 0 for all (of the town's sets: their usual size).
        seed: of data that is made, such as the town's.

    Raises:
        DataError: a file or row that is broken, or no prompt in it.

    >>> [prompt] = prompts([{"prompt": "What is 2 plus 2?", "answer": "4"}])
    >>> prompt.text, prompt.meta["columns"]
    ('What is 2 plus 2?', {'answer': '4'})
    """
    return _records(data, "prompt", count, seed)


def demonstrations(data: Data, *, count: int = 0, seed: int = 0) -> list[Demonstration]:
    """Prompts with answers that somebody showed. Arguments and errors as of `prompts`.

    >>> [shown] = demonstrations([{"prompt": "Hello.", "completion": "Good morning."}])
    >>> shown.completion
    'Good morning.'
    """
    return _records(data, "demonstration", count, seed)


def comparisons(data: Data, *, count: int = 0, seed: int = 0) -> list[Comparison]:
    """Prompts with a better and a worse answer; of a ranking, all its pairs that are no ties. Arguments and
    errors as of `prompts`.

    >>> [pair] = comparisons([{"prompt": "Hello.", "chosen": "Good morning.", "rejected": "What?"}])
    >>> pair.rejected
    'What?'
    """
    return _records(data, "comparison", count, seed)


def split(records: Sequence[Any], share: float, *, seed: int = 0) -> tuple[list[Any], list[Any]]:
    """Records in two parts, of which the second holds this share of the prompts: no prompt is in both.

    Raises:
        ConfigError: a share below 0, or not below 1.

    >>> train, test = split(prompts(f"What is {i}?" for i in range(100)), 0.2)
    >>> len(train) + len(test), {p.id for p in train} & {p.id for p in test}
    (100, set())
    """
    from .data.split import by_prompt

    return by_prompt(records, share, seed)


def draw(items: Sequence[Any], n: int, step: int, *, seed: int = 0) -> list[Any]:
    """The n items of a step: each once per epoch, in an order that follows from the seed.

    >>> sorted(draw("abcd", 2, step=0) + draw("abcd", 2, step=1))
    ['a', 'b', 'c', 'd']
    """
    from .rollouts import prompts_of_step

    return prompts_of_step(items, n, step, seed)


# --- completions, and what they are worth


def answer(
    policy: Policy,
    asked: Data,
    *,
    n: int = 1,
    temperature: float = 0.0,
    max_new_tokens: int = 48,
    seed: int = 0,
) -> list[Completion]:
    """What a policy writes: n completions of each prompt, those of a prompt side by side.

    Args:
        asked: prompts, or whatever `prompts` takes.
        temperature: 0 takes the likeliest token each time.
        max_new_tokens: completions are cut here, the end token included; a cut one is not `finished`.

    Returns:
        Completions with text, token ids, and the log-probability of each id, in nats.

    Raises:
        ConfigError: a temperature below 0, or no token or completion asked for. DataError: a prompt that
            leaves no room for the answer. GuardStop: logits that are not finite.
    """
    from .sampling import Sampling
    from .sampling.local import LocalSampler

    sampling = Sampling(n, max_new_tokens, temperature)
    groups = LocalSampler.of(policy, name=policy.name).sample(_prompts(asked), sampling, seed=seed)
    return [completion for group in groups for completion in group]


def others(asked: Data, name: str = "town:crowd", *, per_prompt: int = 4, seed: int = 0) -> list[Completion]:
    """Completions of the prompts by other people: the town's crowd, or data with answers to the same prompts."""
    given = _prompts(asked)
    by_prompt = names.data.other_completions(name, per_prompt=per_prompt, seed=seed).load()(given)
    return [completion for prompt in given for completion in by_prompt.get(prompt.id, ())]


def judge(who: Who) -> Judge:
    """Whoever scores: a judge by name (town:gold, reward:RUN, module:function), a function, a reward model.

    A function is called for each completion and gets, by name, what it asks for: `prompt`, `messages`,
    `completion`, `finished` (it ended by itself), and every other column of the prompt's row. It returns a
    number.

    Raises:
        UserError: a name that stands for no judge.
    """
    if isinstance(who, str):
        return names.judges.judge(who).load()
    if callable(getattr(who, "score", None)):
        return cast("Judge", who)
    if callable(who):
        from .feedback.own import OwnJudge

        return OwnJudge(getattr(who, "__name__", type(who).__name__), who)
    from .feedback.reward_model import RewardModelJudge

    return RewardModelJudge(cast("RewardModel", who))


def score(who: Who, completions: Sequence[Completion]) -> Tensor:
    """(N,) what a judge gives each completion; higher is better, in whatever unit the judge has.

    Raises:
        UserError: a name that stands for no judge. DataError: a function that failed, asked for a column that
            the row has not, or gave no finite number; with the row.

    >>> said = Completion(Prompt.user("Where?"), "By the well.")
    >>> score(lambda completion: len(completion.split()), [said])
    tensor([3.])
    """
    import torch

    return torch.tensor([score.value for score in judge(who).score(completions)])


def rank(completions: Sequence[Completion], by: Who, *, seed: int = 0) -> list[Ranking]:
    """The completions of each prompt, best first by rank: 1 is best, equal scores share a rank.

    Equal texts count once, and a prompt that has a single text left is not ranked. `Ranking.comparisons()`
    are the pairs, and `comparisons(rankings)` those of many.

    Args:
        by: an annotator by name (town:fair, pool:..., random), or whoever scores (`judge`).
        seed: of the annotator's noise.

    >>> prompt = Prompt.user("Where?")
    >>> said = [Completion(prompt, text) for text in ("By the well.", "There.", "By the well.")]
    >>> [ranking] = rank(said, lambda completion: -len(completion))
    >>> [(c.text, place) for c, place in zip(ranking.completions, ranking.ranks)]
    [('By the well.', 2), ('There.', 1)]
    """
    from .collecting.collect import different, rank_all
    from .feedback.annotators import SimulatedAnnotator

    if isinstance(by, str):
        annotator = names.people.annotator(by, seed=seed).load()
    else:
        scorer = judge(by)
        annotator = SimulatedAnnotator(scorer.name, scorer, weights={"value": 1.0}, temperature=0.0)
    by_prompt: dict[str, list[Completion]] = {}
    for completion in completions:
        by_prompt.setdefault(completion.prompt.id, []).append(completion)
    groups = [different(group, len(group)) for group in by_prompt.values()]
    return list(rank_all(annotator, [(i, group) for i, group in enumerate(groups) if len(group) > 1]))


# --- batches, and what a model says of them


def batch(model: Policy | RewardModel, items: Sequence[Item]) -> Batch:
    """Prompts and completions side by side, by the model's own chat template.

    A demonstration or a completion is one row (one that the policy wrote, by the very ids); a comparison two,
    the chosen one first; a ranking one for each of its completions.

    Returns:
        A `Batch`: `ids_BT`, and `loss_mask_BT`, 1 on the tokens of completions, with the end token of those
        that have one.

    Raises:
        DataError: a row that is longer than the model's context. ModelError: a tokenizer without a chat
            template.
    """
    return _padded(model, [row for item in items for row in _rows(model, item)])


def batches(
    model: Policy | RewardModel, items: Sequence[Item], size: int, *, epochs: int = 1, seed: int = 0
) -> Iterator[Batch]:
    """Batches of `size` items: each item once per epoch, items of similar length together, in an order that
    follows from the seed. Rows and errors as of `batch`.
    """
    from .models.batch import by_length

    rows = [_rows(model, item) for item in items]
    lengths = [sum(len(row.ids) for row in group) for group in rows]
    for epoch in range(epochs):
        for chosen in by_length(lengths, size, seed, epoch):
            yield _padded(model, [row for i in chosen for row in rows[i]])


def logprobs(policy: Policy, batch: Batch) -> Tensor:
    """(B, T) log-probability of each token where `loss_mask_BT` is 1, in nats and fp32; 0 elsewhere.

    `.sum(1)` is that of the completion. It has gradients: put it under `torch.no_grad()` for a model that is
    only asked.
    """
    from .models.forward import token_logprobs_of

    return token_logprobs_of(policy.model, batch)


def pair_scores(model: RewardModel, rankings: Sequence[Ranking]) -> tuple[Tensor, Tensor]:
    """(P,) and (P,) raw scores of the better and the worse completion of every pair that is no tie, all pairs
    of a ranking among them (Ouyang et al. 2022, section 3.5); for `losses.bradley_terry_loss`.
    """
    import torch

    from .models.forward import laid_out, last_scores
    from .records import pairs_of

    rows = [row for ranking in rankings for row in _rows(model, ranking)]
    scores_N = last_scores(model.model, laid_out(model.model, rows, model.pad_id))
    better: list[Tensor] = []
    worse: list[Tensor] = []
    for scores_K, ranking in zip(
        scores_N.split([len(ranking.ranks) for ranking in rankings]), rankings, strict=True
    ):
        first, second = pairs_of(ranking.ranks)
        better.append(scores_K[first])
        worse.append(scores_K[second])
    return torch.cat(better), torch.cat(worse)


def adam(model: Policy | RewardModel, lr: float, steps: int) -> MasterAdamW:
    """AdamW over the weights that train (Loshchilov and Hutter 2019): masters in fp32, 5 % of the steps to
    warm up, then a cosine to 0, gradients clipped to a norm of 1.

    `.step()` updates, clears the gradients and returns their norm before clipping.

    Args:
        lr: the peak learning rate; about 1e-4 for a model of the town, 1e-6 to 2e-5 for larger ones
            (docs/methods.md).
        steps: how many steps there will be.
    """
    from .models.optimizer import MasterAdamW
    from .settings import OptimSettings

    return MasterAdamW(model.model.parameters(), OptimSettings(lr=lr), steps)


# --- helpers


def _records(data: Data, want: Want, count: int, seed: int) -> list[Any]:
    """Records of a kind; of a file it is said how it was read, of a list what was dropped."""
    from .text.streams import say

    if isinstance(data, (str, Path)):
        named = names.data.read_data(str(data), want, seed=seed, count=count)
        if named.report:
            say(visible(named.report))
        return list(named.records)
    from .data.read import records_of

    rows = [{"prompt": item} if isinstance(item, str) else item for item in data]
    loaded = records_of(rows, want, limit=count or None)
    if loaded.report.dropped:
        say(visible(str(loaded.report)))
    return loaded.records


def _prompts(asked: Data) -> list[Prompt]:
    """Prompts that are some already, as they are and however often; anything else as `prompts` reads it."""
    if not isinstance(asked, (str, Path)):
        asked = list(asked)
        if all(isinstance(item, Prompt) for item in asked):
            return cast("list[Prompt]", asked)
    return prompts(asked)


def _rows(model: Policy | RewardModel, item: Item) -> list[Rendered]:
    """The rows of one item: one for each of its completions."""
    from .models.chat import Rendered, example

    tokenizer = model.tokenizer
    if isinstance(item, Demonstration):
        return [example(tokenizer, item.prompt, item.completion)]
    if isinstance(item, Comparison):
        from .models.pairs import encode

        return list(encode(cast("Policy", model), item))
    if isinstance(item, Ranking):
        return [example(tokenizer, item.prompt, c.text, finished=c.finished) for c in item.completions]
    if item.prompt_ids:
        before, after = list(item.prompt_ids), list(item.ids)
        return [Rendered([*before, *after], [0] * len(before) + [1] * len(after))]
    return [example(tokenizer, item.prompt, item.text, finished=item.finished)]


def _padded(model: Policy | RewardModel, rows: Sequence[Rendered]) -> Batch:
    from .models.batch import pad
    from .models.policy import context_of

    longest, context = max(len(row.ids) for row in rows), context_of(model.model)
    if longest > context:
        raise DataError(
            f"a row of {longest} tokens does not fit the model's context of {context}",
            remedy="shorten the prompt or the completion, or leave the row out",
        )
    return pad(rows, model.pad_id).to(model.device)
