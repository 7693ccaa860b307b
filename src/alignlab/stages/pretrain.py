"""A base model of the town from nothing."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from .. import names
from ..errors import UserError
from ..run import derive_seed, writing
from ..settings import PretrainSettings
from .stage import done, open_run, result


def pretrain(*, data: str, out: Path, seed: int, resume: bool, settings: PretrainSettings) -> dict[str, Any]:
    """A base model of the town from nothing: tokenizer, rows, language modelling, then how it behaves."""
    from ..town import base, tasks, world

    if data != "town:corpus":
        raise UserError(
            f"pretrain reads the town's corpus, not {data!r}",
            remedy="start from a hub model for other text: --model NAME on the other commands",
        )
    run = open_run(
        "pretrain", out, settings, seed, resume, uses=[names.data.Data([], data, f"{data}@{world.VERSION}")]
    )
    if run.done:
        return done(run)
    import torch

    from ..methods.pretrain import pretrain as train

    torch.set_num_threads(settings.model.threads or 1)
    town = world.build()
    tokenizer = base.train_tokenizer(town, vocabulary=settings.vocabulary, seed=seed)
    model = base.new_model(base.SHAPES[settings.size], tokenizer, seed=seed)
    rows = base.rows(
        town, tokenizer, tokens=settings.tokens, context=settings.context, seed=derive_seed(seed, "corpus")
    )
    summary = train(run, model, rows, settings)
    model.bfloat16().float()  # it ships in half precision: what follows is measured of that

    from ..models.policy import Policy
    from ..models.saving import save_policy
    from ..town.measure import bare

    policy = Policy(model, tokenizer, name=str(out), device=torch.device("cpu"))
    asked = tasks.held_out_requests(town, "test", seed=0)
    summary["behaviour"] = asdict(bare.measure(town, policy, asked, seed=seed))
    with writing(run.path):
        model.bfloat16()
        save_policy(
            policy,
            run.path / "checkpoint",
            card=base.card(settings, summary, seed=seed, commit=run.info["commit"]),
        )
    run.finish(summary)
    answered = summary["behaviour"]["answered"]["mean"]
    return result(
        run,
        (
            f"held-out loss {summary['eval_loss']:.3f}; a bare question is answered in its first sentence "
            f"{answered:.0%} of the time"
        ),
    )
