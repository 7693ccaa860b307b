"""vLLM's routes as a server of ours answers them, and a trainer that samples through them: weights get there
to the bit, what is written is what the trainer would have written, and what goes wrong changes nothing.
"""

from __future__ import annotations

import copy
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from alignlab import cli
from alignlab.errors import ModelError, ResourceError, UserError
from alignlab.feedback import RuleJudge
from alignlab.methods import group
from alignlab.models import adapters, transfer
from alignlab.models.policy import Policy
from alignlab.records import Prompt
from alignlab.rollouts import Rollouts, current
from alignlab.run import RunDir
from alignlab.sampling import Sampling
from alignlab.sampling.local import LocalSampler
from alignlab.sampling.vllm import VllmSampler
from alignlab.settings import AdapterSettings, OptimSettings, RLOOSettings, SamplingSettings

from ..serving import Reply, Server
from .conftest import Running, tiny_policy

PROMPTS = [Prompt.user(f"{i}?") for i in range(5)]
LONG = 300  # tokens of a completion that is under way for long enough
WARM = Sampling(n=3, max_new_tokens=14, temperature=0.8, top_p=0.9)
ROUTES = {
    "POST": [
        "/inference/v1/generate",
        "/pause",
        "/resume",
        "/init_weight_transfer_engine",
        "/start_weight_update",
        "/update_weights",
        "/finish_weight_update",
    ],
    "GET": ["/is_paused", "/weight_info", "/get_world_size"],
}


def mild(seed: int = 0) -> Policy:
    """A policy whose logits are of a usual size: in fp32 the last digits of a log-probability depend on who
    sits beside, by some 1e-6 of the largest logit.
    """
    policy = tiny_policy(seed)
    with torch.no_grad():
        policy.model.lm_head.weight *= 0.3
    policy.model.get_input_embeddings().padding_idx = None  # as `load_policy` has it
    return policy


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Below it lie the weights that the server takes."""
    return tmp_path_factory.mktemp("updates")


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[Running]:
    server = Running(mild(), updates=folder, timeout=20, max_new_tokens=LONG)
    yield server
    server.close()


@pytest.fixture
def trainer() -> Policy:
    """A policy whose weights are not those that the server was started with."""
    policy = mild()
    moved(policy)
    return policy


def moved(policy: Policy, seed: int = 1) -> None:
    torch.manual_seed(seed)
    with torch.no_grad():
        for weight in policy.model.parameters():
            weight += 0.02 * torch.randn_like(weight)


def sampler(running: Running, policy: Policy, folder: Path) -> VllmSampler:
    return VllmSampler(f"http://127.0.0.1:{running.port}/v1#tiny", policy, folder / "weights", pause=0.01)


def weights(running: Running) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in running.engine.model.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# --- equalities


def test_weights_after_a_sync_are_the_trainers_to_the_bit(
    served: Running, trainer: Policy, folder: Path, tmp_path: Path
) -> None:
    asks = sampler(served, trainer, folder)
    asks.sync(trainer.model)
    assert same(weights(served), trainer.model.state_dict())
    assert served.get("/weight_info") == (200, {"weight_version": asks.version})
    assert transfer.write(served.engine.model, tmp_path / "back") == asks.version
    assert served.get("/is_paused") == (200, {"is_paused": False})
    assert served.get("/get_world_size") == (200, {"world_size": 1})
    asks.close()
    assert not asks.folder.exists()


@pytest.mark.parametrize(
    "sampling", [WARM, Sampling(max_new_tokens=9, temperature=0.0), Sampling(n=2, max_new_tokens=30)]
)
def test_it_writes_what_the_policy_itself_writes(
    served: Running, trainer: Policy, folder: Path, sampling: Sampling
) -> None:
    asks = sampler(served, trainer, folder)
    asks.sync(trainer.model)
    prompts = [*PROMPTS, [3, 4, 5], "a text"]
    found = asks.sample(prompts, sampling, seed=2**62 + 5, first=7)
    want = LocalSampler.of(trainer).sample(prompts, sampling, seed=2**62 + 5, first=7)
    for theirs, ours in zip(sum(found, []), sum(want, []), strict=True):
        assert (theirs.ids, theirs.prompt_ids, theirs.text) == (ours.ids, ours.prompt_ids, ours.text)
        assert theirs.finished == ours.finished and theirs.prompt == ours.prompt
        assert theirs.logprobs == pytest.approx(ours.logprobs, abs=1e-5)


def test_the_trainer_gives_its_tokens_the_probability_they_were_drawn_with(
    served: Running, trainer: Policy, folder: Path
) -> None:
    asks = sampler(served, trainer, folder)
    asks.sync(trainer.model)
    batch = Rollouts.read(trainer, sum(asks.sample(PROMPTS, Sampling(n=2), seed=4), []))
    pieces = [list(range(len(batch.rows)))]
    (ours_BT,) = batch.logprobs_under([current(trainer)], pieces, temperature=1.0)
    assert (ours_BT - batch.sampler_logprobs_BT).abs().max() < 1e-5


def test_an_adapter_is_added_to_the_weights_that_go_there(
    served: Running, trainer: Policy, folder: Path
) -> None:
    model = adapters.add(trainer.model, AdapterSettings(rank=2, alpha=4), task="CAUSAL_LM")
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight += 0.1
    adapted = Policy(model, trainer.tokenizer, "adapted", trainer.device)
    asks = sampler(served, adapted, folder)
    asks.sync(model)
    ids = [c.ids for row in asks.sample(PROMPTS, WARM, seed=1) for c in row]
    assert ids == [c.ids for row in LocalSampler.of(adapted).sample(PROMPTS, WARM, seed=1) for c in row]
    assert "lora_B" in str(model.state_dict().keys()), "the trainer's own adapter stays"


RLOO = RLOOSettings(
    steps=2,
    rollouts=8,
    per_prompt=4,
    missing_end_penalty=0.0,
    sampling=SamplingSettings(max_new_tokens=6),
    optim=OptimSettings(lr=5e-3, schedule="constant", warmup=0.0),
)
LOW = RuleJudge("low", lambda c: -sum(c.ids) / 256 / max(1, len(c.ids)))


def rloo(where: Path, settings: RLOOSettings, between: Callable[[], None] = lambda: None) -> list[Any]:
    """Metrics and completions of each step."""
    policy = mild()
    run = RunDir.open(where, stage="test", config={}, seed=0)
    (run.path / "weights").mkdir()  # what a run that was stopped may leave
    log = run.log

    def logged(step: int, metrics: Any) -> None:
        log(step, metrics)
        if step == 0:
            between()

    run.log = logged
    group.train(run, policy, mild(), PROMPTS, settings, judge=LOW, seed=3)
    rows = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    written = [json.loads(line) for line in (run.path / "samples.jsonl").read_text().splitlines()]
    assert not (run.path / "weights").exists()
    figures = [{k: v for k, v in row.items() if not k.startswith("time")} for row in rows]
    return [figures, [(row["step"], row["completion"], row["tokens"]) for row in written]]


@pytest.fixture
def begun_anew(tmp_path: Path) -> Iterator[tuple[dict[str, Any], Callable[[], None]]]:
    """The settings of RLOO through a server for runs below `tmp_path / "runs"`, and what puts another one, of
    other weights, into its place.
    """
    (tmp_path / "runs").mkdir()
    running = [Running(mild(), updates=tmp_path / "runs")]
    port = running[0].port

    def anew() -> None:
        running.pop().close()
        running.append(Running(mild(9), updates=tmp_path / "runs", port=port))

    yield {**vars(RLOO), "sampler": f"http://127.0.0.1:{port}/v1#tiny"}, anew
    _, served = running[0].get("/weight_info")
    running[0].close()
    assert served["weight_version"] != "default", "the weights got there again"


def test_a_run_of_rloo_through_a_server_is_the_run_without_though_the_server_is_started_anew(
    tmp_path: Path, begun_anew: tuple[dict[str, Any], Callable[[], None]]
) -> None:
    through, anew = begun_anew
    figures, texts = rloo(tmp_path / "runs" / "through", RLOOSettings(**through), anew)
    want, want_texts = rloo(tmp_path / "within", RLOO)
    assert texts == want_texts and len(texts) == 16
    for one, other in zip(figures, want, strict=True):
        assert one == pytest.approx(other, rel=1e-5, abs=1e-5)
        for end in ("min", "mean", "max"):
            assert one[f"sampling/importance_sampling_ratio/{end}"] == pytest.approx(1, abs=1e-5)


def test_one_step_ahead_through_a_server_that_is_started_anew_is_the_run_through_one_that_stays(
    tmp_path: Path, begun_anew: tuple[dict[str, Any], Callable[[], None]]
) -> None:
    """It is started anew while the next batch is being written, or just was."""
    through, anew = begun_anew
    ahead = RLOOSettings(**{**through, "steps": 3, "staleness": 1})
    stays, want = rloo(tmp_path / "runs" / "stays", ahead)
    figures, texts = rloo(tmp_path / "runs" / "anew", ahead, anew)
    assert texts == want and len(texts) == 24
    assert [row["sampling/staleness"] for row in figures] == [0, 1, 1]
    for one, other in zip(figures, stays, strict=True):
        assert one == pytest.approx(other, rel=1e-5, abs=1e-5)


# --- a server that is away, or has other weights


def test_weights_that_changed_while_it_wrote_get_there_again(
    served: Running, trainer: Policy, folder: Path
) -> None:
    asks = sampler(served, trainer, folder)
    asks.sync(trainer.model)
    assert served.updates
    transfer.put(served.engine.model, mild(9).model.state_dict())
    served.updates.version = "default"  # as of a server that was started anew
    found = asks.sample(PROMPTS, WARM, seed=3)
    want = LocalSampler.of(trainer).sample(PROMPTS, WARM, seed=3)
    assert [[c.ids for c in row] for row in found] == [[c.ids for c in row] for row in want]


def test_a_server_that_is_gone_is_said_in_one_sentence(trainer: Policy, tmp_path: Path) -> None:
    running = Running(mild(), updates=tmp_path)
    asks = sampler(running, trainer, tmp_path)
    running.close()
    with pytest.raises(ResourceError, match="did not get to the sampler, twice in a row") as error:
        asks.sync(trainer.model)
    assert asks.name in error.value.where and "--updates" in error.value.remedy


def test_a_server_that_serves_another_version_than_it_was_sent(trainer: Policy, tmp_path: Path) -> None:
    asked: list[str] = []

    def answer(_: int, path: str, __: Any) -> Any:
        asked.append(path)
        return {"weight_version": "7"}

    with Server(answer) as server:
        asks = VllmSampler(server.name, trainer, tmp_path / "w", pause=0.01)
        asks._root.get = lambda path: b'{"weight_version": "7"}'  # type: ignore[method-assign]
        with pytest.raises(ResourceError, match="says that it serves version 7, and [0-9a-f]{32} was sent"):
            asks.sync(trainer.model)
    assert [path for path in asked if path.startswith(("/finish", "/resume"))] == [
        "/finish_weight_update",
        "/resume",
    ] * 2
    with Server(lambda *_: Reply(b"{}", 503)) as server:
        asks = VllmSampler(server.name, trainer, tmp_path / "w", pause=0.01)
        asks._root.get = lambda path: b'{"weight_version": "7"}'  # type: ignore[method-assign]
        with pytest.raises(ResourceError, match="twice in a row: status 503"):
            asks.sync(trainer.model)


GOOD = {"index": 0, "finish_reason": "stop", "token_ids": [5], "logprobs": {"content": [{"logprob": -1.0}]}}


@pytest.mark.parametrize(
    "choice",
    [
        {"finish_reason": "abort"},
        {"token_ids": []},
        {"token_ids": [261]},
        {"token_ids": [True]},
        {"token_ids": [5, 6]},
        {"logprobs": None},
        {"logprobs": {"content": [{"logprob": float("nan")}]}},
        {"logprobs": {"content": [{"logprob": 0.5}]}},
        {"logprobs": {"content": [{"logprob": -1.0, "token_id": 6}]}},
        {"index": 1},
    ],
)
def test_an_answer_that_is_no_completion_is_asked_for_again_and_then_refused(
    trainer: Policy, tmp_path: Path, choice: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(number: int, _: str, __: Any) -> Any:
        return {"choices": [GOOD | (choice if number == 0 or bad else {})]}

    with Server(answer) as server:
        bad = False
        asks = VllmSampler(server.name, trainer, tmp_path / "w", pause=0.001)
        [[found]] = asks.sample(PROMPTS[:1], Sampling(max_new_tokens=3))
        assert (found.ids, found.logprobs, found.finished) == ((5,), (-1.0,), False)
        bad = True
        with pytest.raises((ModelError, ResourceError)):
            asks.sample(PROMPTS[:1], Sampling(max_new_tokens=3))


# --- pause


def under_way(running: Running, found: list[Any], **more: Any) -> threading.Thread:
    """A request that is under way when this returns."""
    body = {
        "token_ids": [5, 6, 7],
        "sampling_params": {"max_tokens": LONG, "seed": 5, "ignore_eos": True, "logprobs": 0, **more},
    }
    thread = threading.Thread(target=lambda: found.append(running.post("/inference/v1/generate", body)))
    before = running.engine.sampler._prompts
    thread.start()
    deadline = time.monotonic() + 10
    while running.engine.sampler._prompts == before:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    return thread


def test_keep_goes_on_afterwards_with_the_same_tokens(served: Running) -> None:
    whole: list[Any] = []
    under_way(served, whole).join()
    found: list[Any] = []
    thread = under_way(served, found)
    assert served.post("/pause?mode=keep", {}) == (200, {"status": "paused"})
    assert served.get("/is_paused")[1] == {"is_paused": True}
    newcomer: list[Any] = []
    later = threading.Thread(target=lambda: newcomer.append(served.complete("ab", max_tokens=2)))
    later.start()
    at = [len(stream.ids) for stream in served.engine.sampler._rows.sequences]
    time.sleep(0.1)
    assert thread.is_alive() and later.is_alive()
    assert at == [len(stream.ids) for stream in served.engine.sampler._rows.sequences] and 0 < at[0] < LONG
    assert served.post("/resume", {}) == (200, {"status": "resumed"})
    thread.join(20)
    later.join(20)
    assert newcomer[0][0] == 200
    assert found[0][1]["choices"][0]["token_ids"] == whole[0][1]["choices"][0]["token_ids"]
    assert len(whole[0][1]["choices"][0]["token_ids"]) == LONG


def test_what_is_kept_over_an_update_is_read_anew_by_the_new_weights(
    served: Running, trainer: Policy, folder: Path
) -> None:
    found: list[Any] = []
    thread = under_way(served, found)
    served.post("/pause?mode=keep", {})
    moved(trainer, seed=7)
    version = transfer.write(trainer.model, folder / "kept")
    assert update(served, folder / "kept", version)[0] == 200
    [stream] = [stream for share in served.engine.sampler._queue for stream in share.waiting]
    written = len(stream.ids)
    served.post("/resume", {})
    thread.join(20)
    [choice] = found[0][1]["choices"]
    ids = choice["token_ids"]
    logits_TV = trainer.model(torch.tensor([[5, 6, 7, *ids]])).logits[0].log_softmax(-1)
    want = logits_TV[2:-1].gather(1, torch.tensor(ids)[:, None])[:, 0].tolist()
    told = [entry["logprob"] for entry in choice["logprobs"]["content"]]
    assert told[written:] == pytest.approx(want[written:], abs=1e-4) and 0 < written < LONG
    assert told[:written] != pytest.approx(want[:written], abs=1e-4)


def test_wait_lets_what_is_under_way_end(served: Running) -> None:
    found: list[Any] = []
    thread = under_way(served, found)
    assert served.post("/pause?mode=wait", {}) == (200, {"status": "paused"})
    thread.join(5)
    assert found[0][1]["choices"][0]["finish_reason"] == "length"
    served.post("/resume", {})


def test_abort_ends_what_is_under_way_as_it_is(served: Running) -> None:
    found: list[Any] = []
    thread = under_way(served, found, n=2)
    assert served.post("/pause?mode=abort", {})[0] == 200
    thread.join(5)
    status, answer = found[0]
    assert status == 200 and [c["finish_reason"] for c in answer["choices"]] == ["abort"] * 2
    assert all(len(c["token_ids"]) == len(c["logprobs"]["content"]) < LONG for c in answer["choices"])
    served.post("/resume", {})
    assert served.complete("ab", max_tokens=2)[0] == 200
    assert served.post("/pause?mode=now", {})[0] == 400


# --- updates that are not taken


def update(running: Running, path: Any, version: str | None = None) -> tuple[int, Any]:
    """The answer to the first step that is refused, or to the last."""
    steps = [
        ("/start_weight_update", {}),
        ("/update_weights", {"update_info": {"path": str(path)}}),
        ("/finish_weight_update", {"weight_version": version}),
    ]
    for route, body in steps:
        status, answer = running.post(route, body)
        if status != 200:
            break
    return status, answer


def cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-9])


def changed(folder: Path) -> None:
    path = folder / "model.safetensors"
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)


def linked(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.rename(folder.parents[1] / "elsewhere.safetensors")
    path.symlink_to(folder.parents[1] / "elsewhere.safetensors")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (cut, "is cut or changed"),
        (changed, "is cut or changed"),
        (linked, "is a link to elsewhere"),
        (lambda folder: (folder / "pytorch_model.bin").write_bytes(b"\x80\x04."), "pickled weights"),
        (lambda folder: (folder / "update.json").unlink(), "has no update.json"),
        (lambda folder: (folder / "update.json").write_text("{}"), "says no version"),
        (lambda folder: (folder / "update.json").write_text("["), "not a JSON file"),
        (lambda folder: (folder / "more.safetensors").write_bytes(b""), "does not speak of"),
        (shutil.rmtree, "has no update.json"),
    ],
)
def test_a_folder_that_is_not_as_it_was_written_is_refused_and_the_old_weights_stay(
    served: Running, trainer: Policy, folder: Path, spoil: Callable[[Path], Any], said: str
) -> None:
    before, version = weights(served), served.get("/weight_info")
    sent = transfer.write(trainer.model, folder / "spoilt")
    spoil(folder / "spoilt")
    status, answer = update(served, folder / "spoilt", sent)
    assert status == 400 and said in answer["error"]["message"], answer
    assert same(before, weights(served)) and served.get("/weight_info") == version
    assert served.post("/finish_weight_update", {"weight_version": sent})[0] == 400


def test_weights_of_another_shape_precision_model_or_version_are_refused(
    served: Running, trainer: Policy, folder: Path
) -> None:
    before = weights(served)
    other = copy.deepcopy(trainer.model)
    other.resize_token_embeddings(270)
    halved = copy.deepcopy(trainer.model).bfloat16()
    shorter = copy.deepcopy(trainer.model)
    shorter.model.layers = shorter.model.layers[:1]
    cases = [(other, "of another model"), (halved, "another precision"), (shorter, "weights are missing")]
    for model, said in cases:
        version = transfer.write(model, folder / "other")
        status, answer = update(served, folder / "other", version)
        assert status == 400 and said in answer["error"]["message"]
    transfer.write(trainer.model, folder / "other")
    status, answer = update(served, folder / "other", "another")
    assert status == 400 and "another was to be finished" in answer["error"]["message"]
    assert served.post("/finish_weight_update", {})[0] == 400, "it is over"
    assert same(before, weights(served))


def test_a_folder_elsewhere_is_refused_whatever_it_is_called(
    served: Running, trainer: Policy, folder: Path, tmp_path: Path
) -> None:
    version = transfer.write(trainer.model, tmp_path / "outside")
    (folder / "door").unlink(missing_ok=True)
    (folder / "door").symlink_to(tmp_path / "outside")
    before, said = weights(served), set()
    paths = [
        tmp_path / "outside",
        folder / "door",
        folder / ".." / tmp_path.name,
        folder,
        "",
        "/",
        "\0",
        "a" * 5000,
    ]
    for path in [*paths, "/nowhere/at/all", "/etc/passwd"]:
        status, answer = update(served, path, version)
        assert status == 400
        said.add(answer["error"]["message"])
    assert len({text for text in said if "below the one" in text}) == 1
    assert not any("passwd" in text or "outside" in text for text in said)
    for info in (None, 3, [], {"path": 3}, {"path": None}, {}):
        served.post("/start_weight_update", {})
        assert served.post("/update_weights", {"update_info": info})[0] == 400
    assert same(before, weights(served))


def test_an_update_that_is_dropped_half_way_changes_nothing_and_the_next_one_is_whole(
    served: Running, trainer: Policy, folder: Path
) -> None:
    before = weights(served)
    transfer.write(trainer.model, folder / "half")
    served.post("/start_weight_update", {})
    assert served.post("/update_weights", {"update_info": {"path": "half"}})[0] == 200
    assert same(before, weights(served))  # and its trainer is killed here
    moved(trainer, seed=3)
    asks = sampler(served, trainer, folder)
    asks.sync(trainer.model)
    assert same(weights(served), trainer.model.state_dict())


# --- who may ask, and what


def test_without_the_switch_there_is_none_of_it(running: Running) -> None:
    for path in ROUTES["POST"]:
        assert running.post(path, {})[0] == 404
    for path in ROUTES["GET"]:
        assert running.get(path)[0] == 404


def test_the_guards_hold_for_every_route(policy: Policy, tmp_path: Path) -> None:
    (tmp_path / "updates").mkdir()
    running = Running(mild(), updates=tmp_path / "updates", key="k", audit=tmp_path / "audit.jsonl")
    key = {"authorization": "Bearer k"}
    try:
        for method, paths in ROUTES.items():
            for path in paths:
                body, kind = (b"{}", {"content_type": "application/json"}) if method == "POST" else (None, {})
                refused = [
                    (running.raw(method, path, body, **kind), 401),
                    (running.raw(method, path, body, **kind, **key, origin="http://evil.example"), 403),
                    (running.raw(method, path, body, **kind, **key, sec_fetch_site="cross-site"), 403),
                    (running.raw(method, path, body, **kind, **key, host="evil.example"), 421),
                ]
                assert [answer[0] for answer, _ in refused] == [status for _, status in refused]
        assert running.raw("POST", "/pause", b"{}", content_type="text/plain", **key)[0] == 415
        assert running.raw("POST", "/pause?mode=keep", None, **key)[0] == 200, (
            "vLLM's own client sends no body"
        )
        assert running.raw("POST", "/resume", None, **key)[0] == 200
    finally:
        running.close()
    lines = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    routes = [line["route"] for line in lines if line["status"] == 200]
    assert sorted(routes) == ["/pause", "/resume"]


def test_token_ids_are_no_way_past_a_defence(tmp_path: Path) -> None:
    body = {"token_ids": [5], "sampling_params": {"max_tokens": 2}}
    running = Running(mild(), updates=tmp_path, stacks=(("self-reminder",),))
    try:
        for more in ({}, {"model": "tiny+self-reminder"}, {"model": "tiny"}):
            assert running.post("/inference/v1/generate", body | more)[0] in (400, 404)
    finally:
        running.close()


@pytest.mark.parametrize(
    "more",
    [
        {"token_ids": []},
        {"token_ids": "ab"},
        {"token_ids": [999]},
        {"token_ids": [1] * 400},
        {"model": "nobody"},
        {"stream": True},
        {"sampling_params": None},
        {"sampling_params": {"max_tokens": LONG + 1}},
        {"sampling_params": {"top_k": 5}},
        {"sampling_params": {"n": 0}},
        {"sampling_params": {"stop_token_ids": ["a"]}},
        {"alignlab": 3},
        {"alignlab": {"first": -1}},
    ],
)
def test_what_would_not_be_what_was_asked_for_is_refused(served: Running, more: dict[str, Any]) -> None:
    body = {"token_ids": [5], "sampling_params": {"max_tokens": 2}} | more
    status, answer = served.post("/inference/v1/generate", body)
    assert status in (400, 404) and answer["error"]["message"]


def test_the_commands_say_what_cannot_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["serve", "town-s", "--port", "0", "--updates", str(tmp_path / "none")]) == 3
    assert cli.main(["serve", "town-s", "town", "--port", "0", "--updates", str(tmp_path)]) == 3
    out = ["--judge", "town:gold", "--out", str(tmp_path / "run")]
    assert cli.main(["rloo", "--model", "town-s", "--sampler", "nowhere", *out]) == UserError.exit_code
    said = capsys.readouterr().err
    assert "is no folder" in said and "2 are served" in said and "no address of a server" in said
