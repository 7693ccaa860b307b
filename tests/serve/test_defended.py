"""Defences by model name or header, over the server and in process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from alignlab.defences import town as of_the_town
from alignlab.defences.filters import PerplexityFilter
from alignlab.defences.guard import refused
from alignlab.defences.middleware import DEFENCES, build
from alignlab.defences.reading import windowed_surprise
from alignlab.defences.wording import SelfReminder
from alignlab.errors import ConfigError, UserError
from alignlab.models.policy import Policy
from alignlab.records import Completion, Message, Prompt
from alignlab.sampling import Sampling
from alignlab.sampling.answers import REFUSAL
from alignlab.sampling.local import LocalSampler
from alignlab.serve.engine import Engine
from alignlab.serve.targets import EngineTarget

from .conftest import Running


class Parrot:
    """Says what it was asked, and keeps it."""

    def __init__(self) -> None:
        self.asked: list[Prompt] = []

    def sample(
        self, prompts: Sequence[Prompt], sampling: Sampling, *, seed: int = 0
    ) -> list[list[Completion]]:
        self.asked += prompts
        return [
            [Completion(prompt, f"you said: {prompt.text}", (1, 2), (0.0, 0.0))] * sampling.n
            for prompt in prompts
        ]


class BlocksX:
    """Blocks answers with an x in them."""

    def __init__(self, target: Any) -> None:
        self.target = target

    def sample(self, prompts: Sequence[Prompt], *how: Any, **seed: int) -> list[list[Completion]]:
        return [
            refused(prompt, "blocks-x", len(row)) if "x" in prompt.text else row
            for prompt, row in zip(prompts, self.target.sample(prompts, *how, **seed), strict=True)
        ]


@pytest.fixture(scope="module")
def running(policy: Policy) -> Iterator[Running]:
    DEFENCES["blocks-x"] = BlocksX
    server = Running(policy, stacks=((), ("self-reminder",)))
    yield server
    server.close()
    del DEFENCES["blocks-x"]


def test_the_last_named_is_outermost_and_names_are_checked() -> None:
    parrot = Parrot()
    order = []
    for name in ("inner", "outer"):
        DEFENCES[name] = lambda target, name=name: type(
            "Noted", (), {"sample": lambda self, *asked: (order.append(name), target.sample(*asked))[1]}
        )()
    try:
        build(["inner", "outer"], parrot).sample([Prompt.user("hi")], Sampling())
    finally:
        del DEFENCES["inner"], DEFENCES["outer"]
    assert order == ["outer", "inner"]
    assert build([], parrot) is parrot
    with pytest.raises(UserError, match="did you mean self-reminder"):
        build(["self-remind"], parrot)
    with pytest.raises(ConfigError, match="named twice"):
        build(["self-reminder", "self-reminder"], parrot)


def test_a_self_reminder_stands_around_the_last_user_turn_and_the_completion_keeps_its_prompt() -> None:
    parrot = Parrot()
    prompt = Prompt(
        (
            Message("system", "be kind"),
            Message("user", "first"),
            Message("assistant", "yes"),
            Message("user", "second"),
        ),
        {"kind": "harmful"},
    )
    [[completion]] = SelfReminder(parrot).sample([prompt])
    asked = parrot.asked[0].messages
    assert (
        asked[:3] == prompt.messages[:3]
        and asked[3].content == f"{SelfReminder.BEFORE}\nsecond\n{SelfReminder.AFTER}"
    )
    assert completion.prompt is prompt and parrot.asked[0].meta == prompt.meta
    [[nobody]] = SelfReminder(parrot).sample([Prompt((Message("system", "x"),))])
    assert nobody.text == "you said: x"


def test_a_perplexity_filter_asks_only_what_it_lets_pass() -> None:
    parrot = Parrot()
    guarded = PerplexityFilter(parrot, lambda texts: [float(len(text)) for text in texts], 5.0)
    found = guarded.sample(
        [Prompt.user("short"), Prompt.user("far too long"), Prompt.user("ok")], Sampling(n=2)
    )
    assert [row[0].blocked for row in found] == ["", "perplexity-filter", ""] and [
        len(row) for row in found
    ] == [2, 2, 2]
    assert [prompt.text for prompt in parrot.asked] == ["short", "ok"] and found[1][0].text == REFUSAL
    assert guarded.sample([Prompt.user("far too long")])[0][0].blocked and len(parrot.asked) == 2


def test_the_towns_filter_lets_its_requests_pass_and_stops_random_suffixes() -> None:
    """On prompts it was not calibrated on: held-out ones, and the same with twenty random tokens behind, as
    GCG leaves them.
    """
    import random

    from alignlab.models.load import load_policy
    from alignlab.settings import ModelSettings
    from alignlab.town import base, sets, world

    surprise, threshold = of_the_town.surprise()
    prompts = [
        record.text for record in sets.load(world.build(), "test", count=80) if isinstance(record, Prompt)
    ]
    tokenizer = load_policy(base.shipped("town"), ModelSettings()).tokenizer
    rng = random.Random(0)
    attacked = [
        f"{text} {tokenizer.decode([rng.randrange(6, len(tokenizer)) for _ in range(20)])}"
        for text in prompts
    ]
    passed = sum(value <= threshold for value in surprise(prompts)) / len(prompts)
    stopped = sum(value > threshold for value in surprise(attacked)) / len(attacked)
    assert passed >= 0.9 and stopped >= 0.9, (passed, stopped)
    assert surprise([""]) == [0.0] and surprise(["\ud800 x"])[0] > 0
    assert surprise(["word " * 3000])[0] > 0, "longer than the model reads"


def test_windowed_surprise_is_the_worst_stretch(policy: Policy) -> None:
    import torch

    text, window = "abcabcx!", 3
    ids = policy.tokenizer(text)["input_ids"]
    with torch.no_grad():
        log_p = (
            policy.model(torch.tensor([ids]))
            .logits[0]
            .log_softmax(-1)[:-1]
            .gather(1, torch.tensor(ids)[1:, None])[:, 0]
        )
    want = max(float(-log_p[i : i + window].mean()) for i in range(len(log_p) - window + 1))
    [found] = windowed_surprise(policy.model, policy.tokenizer, [text], context=64, window=window)
    assert found == pytest.approx(want, rel=1e-4)
    pieces = windowed_surprise(policy.model, policy.tokenizer, [text, "a"], context=5, window=100)
    assert pieces[0] > 0 and pieces[1] == 0.0, "nothing predicts a single token"


def test_an_engine_is_a_target_that_samples_as_a_local_sampler_does(policy: Policy) -> None:
    engine = Engine("tiny", policy, slots=4, context=0, memory=1e9)
    try:
        opened = Prompt((Message("user", "one"), Message("assistant", "I will")))
        prompts = [Prompt.user("one"), Prompt.user("a longer one"), "a text", opened]
        how = Sampling(n=3, max_new_tokens=14, temperature=0.8, top_p=0.9)
        found = EngineTarget(engine).sample(prompts, how, seed=4)
        want = LocalSampler.of(policy, name="tiny").sample(prompts, how, seed=4)
        assert [[c.ids for c in row] for row in found] == [[c.ids for c in row] for row in want]
        assert [[(c.text, c.finished, c.prompt, c.source) for c in row] for row in found] == [
            [(c.text, c.finished, c.prompt, c.source) for c in row] for row in want
        ]
        for a, b in zip(sum(found, []), sum(want, []), strict=True):
            assert a.logprobs == pytest.approx(b.logprobs, abs=1e-4)
    finally:
        engine.close()


def test_a_stack_by_name_or_header_and_its_verdict(running: Running, policy: Policy) -> None:
    ask = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 6, "seed": 3}
    _, reminded = running.post("/v1/chat/completions", {"model": "tiny+self-reminder", **ask})
    [[want]] = SelfReminder(LocalSampler.of(policy)).sample(
        [Prompt.user("hello")], Sampling(max_new_tokens=6), seed=3
    )
    assert (
        reminded["choices"][0]["message"]["content"] == want.text
        and reminded["alignlab"]["prompt_tokens"] > reminded["usage"]["prompt_tokens"]
    )
    _, by_header = running.post(
        "/v1/chat/completions", {"model": "tiny", **ask}, x_alignlab_defence="self-reminder"
    )
    assert by_header["choices"] == reminded["choices"]
    bad = {**ask, "messages": [{"role": "user", "content": "x"}]}
    status, blocked = running.post("/v1/chat/completions", {"model": "tiny+self-reminder+blocks-x", **bad})
    assert status == 200 and blocked["alignlab"]["defences"] == ["self-reminder", "blocks-x"]
    assert blocked["choices"][0] == {
        "index": 0,
        "message": {"role": "assistant", "content": REFUSAL, "refusal": None},
        "logprobs": None,
        "finish_reason": "content_filter",
        "alignlab": {"blocked_by": "blocks-x"},
    }
    events = running.stream("/v1/chat/completions", {**bad, "model": "tiny+blocks-x"})
    assert (
        "".join(event["choices"][0]["delta"].get("content", "") for event in events) == REFUSAL
        and events[-1]["choices"][0]["finish_reason"] == "content_filter"
    )


def test_a_defence_that_counts_does_so_over_all_requests(running: Running) -> None:
    class Twice:
        def __init__(self, target: Any) -> None:
            self.target, self.count = target, 0

        def sample(self, prompts: Sequence[Prompt], *how: Any, **seed: int) -> list[list[Completion]]:
            self.count += 1
            return (
                self.target.sample(prompts, *how, **seed)
                if self.count <= 2
                else [refused(prompt, "twice") for prompt in prompts]
            )

    DEFENCES["twice"] = Twice
    try:
        ask = {"model": "tiny+twice", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 3}
        reasons = [
            running.post("/v1/chat/completions", ask)[1]["choices"][0]["finish_reason"] for _ in range(4)
        ]
    finally:
        del DEFENCES["twice"]
    assert "content_filter" not in reasons[:2] and reasons[2:] == ["content_filter"] * 2


@pytest.mark.parametrize(
    ("path", "more", "says"),
    [
        ("/v1/completions", {"prompt": "x"}, "read chats"),
        ("/v1/chat/completions", {"logprobs": True}, "no log-probabilities"),
    ],
)
def test_what_a_defence_cannot_do_is_said(
    running: Running, path: str, more: dict[str, Any], says: str
) -> None:
    row = {"model": "tiny+self-reminder", "messages": [{"role": "user", "content": "hello"}], **more}
    status, answer = running.post(path, row)
    assert status == 400 and says in answer["error"]["message"]
