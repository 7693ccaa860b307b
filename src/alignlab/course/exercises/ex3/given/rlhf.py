"""Exercise 3: RLHF on a toy. You write five functions; README.md says what each is for.

Shapes are in the names: B completions, T tokens of the longest. `mask_BT` is 1 on the tokens of a completion
(its end token included), 0 on the prompt before it and on the padding after it. Completions of one prompt
stand side by side, `group` of them.

    alignlab exercise grade ex3     any time, also with gaps
    alignlab exercise hint ex3      one step more of help with what fails first
    python run.py                   your training, in pictures of letters
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from toy import Task


def shaped_rewards(scores_B: Tensor, logp_BT: Tensor, ref_BT: Tensor, mask_BT: Tensor, beta: float) -> Tensor:
    """The reward of every token: the KL penalty on each, the score on the last of the completion.

    Args:
        scores_B: what the reward model gave each completion.
        logp_BT, ref_BT: log-probabilities of the tokens under the policy and under the reference, nats.
        beta: the weight of the penalty.

    Returns:
        (B, T), 0 where the mask is 0.
    """
    raise NotImplementedError


def advantages(rewards_BT: Tensor, mask_BT: Tensor, group: int) -> Tensor:
    """How much better each completion did than the others of its prompt, at every token of it.

    Of all it was rewarded with (or of what came from that token on), less a baseline from the other
    completions of the same prompt. You may divide by their spread, or leave that.

    Returns:
        (B, T), 0 where the mask is 0.
    """
    raise NotImplementedError


def policy_loss(
    logp_BT: Tensor, old_BT: Tensor, adv_BT: Tensor, mask_BT: Tensor, clip: float, tokens: float
) -> Tensor:
    """The clipped loss of PPO: a sum over the tokens of completions, divided by `tokens`.

    Args:
        logp_BT: of the policy as it is now, with its gradient; old_BT: of the policy that wrote the tokens.
        clip: the ratio of the two counts between 1 - clip and 1 + clip.

    Returns:
        One number, whose gradient lowers what you want less of.
    """
    raise NotImplementedError


def kl(logp_BT: Tensor, ref_BT: Tensor, mask_BT: Tensor) -> tuple[Tensor, Tensor]:
    """How far each completion is from the reference, nats: k1_B and k3_B, each a sum over its tokens.

    Both are estimates of KL(policy || reference) from tokens that the policy drew; k3 is never negative.
    """
    raise NotImplementedError


def train(task: Task, settings) -> Tensor:
    """Train a table on the toy, with your functions above.

    Each step: draw completions from the table as it is (`task.logits` gives the next token's logits), score
    them (`task.score`), and take one step or several on your loss. toy.py says what a task can be asked.

    Args:
        settings: `steps`; `lr` of the first step (let it fall to 0); `group` completions side by
            side, `groups` such groups of each prompt a step; `clip`; `seed`. `task.beta` is the weight of the
            penalty.

    Returns:
        (P, S, V): the logits of the trained table.
    """
    raise NotImplementedError
