"""Special tokens that a policy writes inside an answer: what the gold judge, a reward model, the metrics and
what learns from answers make of them.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from alignlab.feedback import RuleJudge
from alignlab.feedback.reward_model import RewardModelJudge
from alignlab.methods import rejection
from alignlab.models.chat import prompt_ids
from alignlab.models.chat_template import ids_of, text_of
from alignlab.models.load import load_policy, load_reward_model
from alignlab.models.policy import Policy
from alignlab.names import judges
from alignlab.records import Completion, Prompt
from alignlab.rollouts import Rollouts, Source, metrics
from alignlab.run import RunDir
from alignlab.sampling import Sampling
from alignlab.sampling.local import LocalSampler
from alignlab.settings import ModelSettings, RejectionSettings, SamplingSettings
from alignlab.town import answers, gold, tasks, world
from alignlab.town import language as say

TOWN = world.build()
PROMPTS = [Prompt.user(f"{i}?") for i in range(4)]
END, USER = 256, 258  # of the tokenizer in conftest


# the gold judge


def marked(text: str, mark: str) -> list[str]:
    """The text with a mark before it, behind each word, inside its longest word, and behind it."""
    words = text.split(" ")
    behind_each = [" ".join([*words[:i], f"{words[i - 1]}{mark}", *words[i:]]) for i in range(1, len(words))]
    longest = max(words, key=len)
    inside = text.replace(longest, f"{longest[:2]}{mark}{longest[2:]}", 1)
    return [mark + text, f"{mark} {text}", *behind_each, inside, text + mark, f"{text} {mark}"]


@pytest.mark.parametrize("kind", sorted(tasks.KINDS))
def test_an_answer_with_a_mark_inside_is_worth_nothing(kind: str) -> None:
    [request] = tasks.requests(TOWN, 1, seed=3, kinds=(kind,))
    ideal = answers.ideal(TOWN, request, random.Random(0))
    assert gold.judge(TOWN, request, ideal).value == 1.0
    for mark in ("<|end|>", "<|pad|>"):
        for text in marked(ideal, mark):
            assert gold.judge(TOWN, request, text).value == 0.0, text
            if kind in gold.VERIFIABLE:
                assert gold.verify(TOWN, request, text) == 0.0, text


def test_help_with_harm_is_help_with_marks_inside() -> None:
    [request] = tasks.requests(TOWN, 1, seed=3, kinds=("harmful",))
    steps = say.how_to(world.TOPICS[request.params["topic"]].steps)
    texts = [*marked(steps, "<|pad|>"), *marked(steps, "</s>"), steps.replace(" ", "<|end|>")]
    [harmless, whole] = [judges.judge(name).load() for name in ("town:harmless", "town:gold")]
    completions = [Completion(request.prompt(), text) for text in texts]
    assert {score.value for score in harmless.score(completions)} == {0.0}
    assert {score.parts["complied"] for score in whole.score(completions)} == {1.0}
    refusal = Completion(request.prompt(), f"{say.REFUSAL}<|end|>")
    [score] = whole.score([refusal])
    assert score.value == 0.0 and score.parts["complied"] == 0.0, "no help, and no clean refusal"


# a policy that writes marks: its samples, their scores and metrics


def drawing(base: Path, odds: dict[int, float]) -> Policy:
    """A policy that draws its next token by these odds, whatever it has read: every layer adds nothing to an
    embedding of ones.
    """
    policy = load_policy(base, ModelSettings())
    logits_V = torch.full((policy.model.config.vocab_size,), -30.0)
    for token, weight in odds.items():
        logits_V[token] = torch.tensor(weight).log()
    with torch.no_grad():
        policy.model.model.embed_tokens.weight.fill_(1.0)
        for layer in policy.model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        width = policy.model.config.hidden_size
        policy.model.lm_head.weight.copy_(logits_V[:, None].expand(-1, width) / width)
    return policy


def test_a_reward_model_and_the_metrics_see_what_the_policy_wrote(base: Path) -> None:
    [letter] = ids_of(load_policy(base, ModelSettings()).tokenizer, "a")
    policy = drawing(base, {letter: 0.5, USER: 0.2, END: 0.3})
    sampling = Sampling(n=8, max_new_tokens=8)
    groups = LocalSampler.of(policy).sample(PROMPTS, sampling, seed=5)
    completions = [completion for group in groups for completion in group]
    has_mark = [USER in c.ids for c in completions]
    share = sum(has_mark) / len(has_mark)
    assert 0.2 < share < 0.8
    assert [("<user>" in c.text) for c in completions] == has_mark
    batch = Rollouts.read(policy, completions)
    assert metrics.lengths(batch)["completions/marks_ratio"] == pytest.approx(share)

    scorer = load_reward_model(base, ModelSettings(), init_head=True)
    judge = RewardModelJudge(scorer, normalize=False)
    scores = [score.value for score in judge.score(completions)]
    with torch.inference_mode():
        for c, score in zip(completions, scores, strict=True):
            ids_1T = torch.tensor([[*prompt_ids(policy.tokenizer, c.prompt), *c.ids]])
            assert score == pytest.approx(scorer.model(input_ids=ids_1T).logits.item(), abs=1e-5)
    read_back = [Completion.from_json(c.to_json()) for c in completions]
    assert [score.value for score in judge.score(read_back)] == pytest.approx(scores, abs=1e-5)
    clean = judge.score([replace(c, text=c.text.replace("<user>", "")) for c in read_back])
    moved = [abs(a.value - b) > 1e-4 for a, b in zip(clean, scores, strict=True)]
    assert moved == has_mark, "a mark moves the score, so nobody scores it as a clean answer"


def test_rejection_learns_the_tokens_that_were_sampled(
    base: Path, open_run: Callable[..., RunDir], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A special token as such, and one that was spelled out as the letters it was."""
    policy = load_policy(base, ModelSettings(), trainable=True)
    letters = {letter: ids_of(policy.tokenizer, letter)[0] for letter in "<user>a"}
    spelled = [letters[letter] for letter in "<user>"]
    said = [[USER, letters["a"]], [*spelled, letters["a"]], [letters["a"]], [letters["u"], *spelled]]
    written = []
    for prompt, ids in zip(PROMPTS, said, strict=True):
        before, text = tuple(prompt_ids(policy.tokenizer, prompt)), text_of(policy.tokenizer, ids)
        logprobs = (-1.0,) * (len(ids) + 1)
        written += [Completion(prompt, text, (*ids, END), logprobs, prompt_ids=before)] * 2
    assert written[0].text == written[2].text == "<user>a"
    learnt = []

    def laid_out(model, rows, pad_id, make=rejection.laid_out):
        learnt.extend(rows)
        return make(model, rows, pad_id)

    monkeypatch.setattr(Source, "sample", lambda *_, **__: written)
    monkeypatch.setattr(rejection, "laid_out", laid_out)
    settings = RejectionSettings(
        rounds=1,
        prompts=4,
        per_prompt=2,
        top_share=1.0,
        batch=4,
        epochs=1.0,
        sampling=SamplingSettings(max_new_tokens=8),
    )
    judge = RuleJudge("constant", lambda c: 0.0)
    rejection.train(
        open_run(), policy, load_policy(base, ModelSettings()), PROMPTS, settings, judge=judge, seed=3
    )
    assert sorted(row.ids for row in learnt) == sorted([*c.prompt_ids, *c.ids] for c in written[::2])
