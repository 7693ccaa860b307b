"""General questions and plain text: the same weights give the same figures, the model is left as it was, and
a stage asks them of models of others alone.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from alignlab import names, stages
from alignlab.errors import DataError
from alignlab.evals import general
from alignlab.models.load import load_policy
from alignlab.run import read_run
from alignlab.settings import (
    AdapterSettings,
    DPOSettings,
    GRPOSettings,
    KTOSettings,
    ModelSettings,
    OptimSettings,
    PPOSettings,
    RewardSettings,
    SamplingSettings,
    SFTSettings,
)

ONE = ModelSettings(threads=1)
SHORT = SamplingSettings(max_new_tokens=8)
OPTIM = OptimSettings(lr=1e-3)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The town's smallest model under a template of its own: one of somebody else."""
    folder = tmp_path_factory.mktemp("models") / "other"
    shutil.copytree(names.models.model("town-s").path, folder)
    template = folder / "chat_template.jinja"
    template.write_text(template.read_text() + "\n")
    (folder / "manifest.json").unlink()  # it is not as we wrote it any more
    return str(folder)


@pytest.mark.parametrize("rank", [0, 4])
def test_figures_are_the_same_twice_and_the_model_is_as_it_was(rank: int, other: str) -> None:
    policy = load_policy(other, ONE, AdapterSettings(rank=rank), trainable=True)
    policy.model.train()
    attention = policy.model.config._attn_implementation
    weights = {name: p.clone() for name, p in policy.model.named_parameters()}
    first, again = general.measure(policy), general.measure(policy)
    assert (
        first == again
        and set(first[0]) == {"text_loss", "right", "repetition", "other_script", "empty"}
        and len(first[1]) == 16
    )
    assert policy.model.training and policy.model.config._attn_implementation == attention
    assert all(
        torch.equal(p, weights[name]) and p.grad is None for name, p in policy.model.named_parameters()
    )
    with torch.no_grad():
        for p in policy.model.parameters():
            p.add_(torch.randn_like(p) * 0.5)
    assert general.measure(policy)[0]["text_loss"] > first[0]["text_loss"] + 1


def test_a_context_without_room_leaves_answers_out(other: str) -> None:
    policy = load_policy(other, ONE)
    policy.model.config.max_position_embeddings = 40
    figures, answers = general.measure(policy)
    assert set(figures) == {"text_loss"} and answers == []


@pytest.mark.parametrize(
    ("texts", "share"),
    [
        ([], 0.0),
        (["12 + 3!"], 0.0),
        (["déjà vu"], 0.0),
        (["да"], 1.0),
        (["ab", "東京"], 0.5),
        ([""] * 300 + ["да"], 0.0),
    ],
)
def test_the_share_of_other_scripts(texts: list[str], share: float) -> None:
    assert general.other_script(texts) == share


def test_the_questions_are_plain_and_the_page_is_a_page() -> None:
    page, facts, questions = general._asked()
    assert (
        len(facts) == 10
        and all(facts.values())
        and not any(known & set(general.words(question)) for question, known in facts.items())
    )
    assert (
        len(questions) == len(set(questions)) == 16
        and all(len(q) < 60 for q in questions)
        and 250 < len(page.split()) < 500
    )
    assert general.other_script([page, *questions]) == 0 and general.repetition(page) < 0.05


def train(stage: str, model: str, reward: str, out: Path) -> dict:
    shared = {"model": model, "out": out / stage, "seed": 0, "resume": True}
    judged = {"reward": reward, "gold": "", "data": "town:prompts", "count": 8}
    match stage:
        case "sft":
            return stages.sft(
                data="town:demos", count=20, settings=SFTSettings(epochs=1, optim=OPTIM, model=ONE), **shared
            )
        case "ppo":
            return stages.ppo(
                ptx="",
                settings=PPOSettings(
                    steps=1, rollouts=4, minibatch=4, epochs=1, sampling=SHORT, optim=OPTIM, model=ONE
                ),
                **shared,
                **judged,
            )
        case "grpo":
            return stages.grpo(
                judge="",
                settings=GRPOSettings(steps=1, rollouts=4, sampling=SHORT, optim=OPTIM, model=ONE),
                **shared,
                **judged,
            )
        case "kto":
            return stages.kto(
                data=str(out / "pairs.jsonl"),
                settings=KTOSettings(batch=4, held_out=0.0, optim=OPTIM, model=ONE),
                **shared,
            )
        case _:
            return stages.dpo(
                data=str(out / "pairs.jsonl"),
                settings=DPOSettings(batch=4, held_out=0.0, optim=OPTIM, model=ONE),
                **shared,
            )


def test_every_stage_that_trains_a_policy_asks_a_model_of_others_and_no_model_of_the_town(
    other: str, tmp_path: Path
) -> None:
    pairs = [
        {"prompt": f"Who has key {i}?", "chosen": f"Nell has key {i}.", "rejected": "Нет."} for i in range(8)
    ]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in pairs))
    reward = tmp_path / "reward"
    stages.reward(
        model=other,
        data=str(tmp_path / "pairs.jsonl"),
        gold="",
        out=reward,
        seed=0,
        resume=True,
        settings=RewardSettings(batch=4, held_out=0.0, optim=OPTIM, model=ONE),
    )
    for stage in ("sft", "dpo", "kto", "ppo", "grpo"):
        found = train(stage, other, str(reward), tmp_path)["summary"]["general"]
        assert found["before"]["text_loss"] != found["after"]["text_loss"], stage
        assert found["data_other_script"] == 0, "of pairs the chosen answers are what is learnt"
        rows = [
            json.loads(line)
            for line in (tmp_path / stage / "general.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
        ]
        assert len(rows) == 16 and set(rows[0]) == {"question", "before", "after"}
    (tmp_path / "rows.jsonl").write_text(
        "".join(json.dumps({"prompt": "a " * 40, "completion": f"b {i}"}) + "\n" for i in range(8))
    )
    with pytest.raises(DataError, match="no record fits"):
        stages.sft(
            model=other,
            data=str(tmp_path / "rows.jsonl"),
            count=0,
            out=tmp_path / "long",
            seed=0,
            resume=True,
            settings=SFTSettings(max_length=20, truncate="drop", model=ONE),
        )
    assert not list(tmp_path.glob("long.partial/kept/*")), (
        "nothing is asked before the data is found to be enough"
    )
    assert "general" not in read_run(reward).summary
    assert (
        "general" not in train("sft", "town-s", "", tmp_path / "town")["summary"]
        and not (tmp_path / "town" / "sft" / "general.jsonl").exists()
    )
