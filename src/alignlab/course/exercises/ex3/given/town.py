"""The same functions on a language model: twelve steps of RLHF on the town.

It takes a minute or two. `alignlab lecture prepare` has made the two models that it starts from. Nothing here
is graded: look at score, gold and KL, and write down what you see.
"""

import rlhf
import torch

from alignlab import lab

SFT, REWARD = "runs/lecture/sft", "runs/lecture/reward"
TESTED = 300
STEPS, PROMPTS, GROUP, ROWS = 12, 32, 4, 32  # ROWS of the PROMPTS x GROUP completions are learnt from at once
BETA, CLIP, LEARNING_RATE = 0.1, 0.2, 4e-4

policy, reference = lab.policy(SFT), lab.policy(SFT, trainable=False)
reward = lab.reward_model(REWARD, trainable=False)
prompts = lab.prompts("town:prompts", count=1000)
optimizer = lab.adam(policy, LEARNING_RATE, STEPS * PROMPTS * GROUP // ROWS)

asked = lab.prompts("town:test", count=TESTED)


def tested():
    """Score and gold of answers to prompts that are not trained on: the same ones, by the same draws."""
    answers = lab.answer(policy, asked, temperature=1.0, seed=0)
    return f"score {lab.score(reward, answers).mean():.3f}, gold {lab.score('town:gold', answers).mean():.3f}"


before = tested()
print("step   score    gold   KL: k1     k3")
for step in range(STEPS):
    drawn = lab.draw(prompts, PROMPTS, step)
    written = lab.answer(policy, drawn, n=GROUP, temperature=1.0, seed=step)
    scores_B = lab.score(reward, written)
    found = []
    for rows in range(0, len(written), ROWS):
        batch = lab.batch(policy, written[rows : rows + ROWS])
        with torch.no_grad():
            old_BT, ref_BT = lab.logprobs(policy, batch), lab.logprobs(reference, batch)
        mask_BT = batch.loss_mask_BT.to(old_BT.dtype)
        shaped_BT = rlhf.shaped_rewards(scores_B[rows : rows + ROWS], old_BT, ref_BT, mask_BT, BETA)
        found.append((batch, old_BT, ref_BT, mask_BT, rlhf.advantages(shaped_BT, mask_BT, GROUP)))
    for batch, old_BT, _, mask_BT, adv_BT in found:
        loss = rlhf.policy_loss(
            lab.logprobs(policy, batch), old_BT, adv_BT, mask_BT, CLIP, float(mask_BT.sum())
        )
        loss.backward()
        optimizer.step()
    k1_B, k3_B = (
        torch.cat(parts)
        for parts in zip(*(rlhf.kl(old, ref, mask) for _, old, ref, mask, _ in found), strict=True)
    )
    gold = lab.score("town:gold", written).mean()
    print(
        f"{step:4}  {scores_B.mean():6.3f}  {gold:6.3f}   {k1_B.mean():6.3f} {k3_B.mean():6.3f}", flush=True
    )
print(f"on {len(asked)} other prompts, before: {before}; after: {tested()}")
