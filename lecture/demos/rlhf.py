# %% [markdown]
# # Demo 3: RLHF
# The policy writes, a reward model judges, and what was better than its neighbours becomes likelier. Once
# with a KL penalty, once without: what becomes of the reward, and of what was meant?
#
# Seeds 20 to 24, each with models of its own, the form of a minute (29 to 42 processor seconds): without a
# penalty the reward is higher in 4 of 5 (-0.00 to 0.34); gold is lower in 4 of 5 (-0.09 to +0.01); with the
# penalty gold rises by 0.03 to 0.11, over the bar of 0.03 in 4 of 5. Twenty steps show where it goes, and not
# in every seed: forty without a penalty are in the picture of page 4.

# %%
import torch

from alignlab import lab
from alignlab.losses import group_advantages, group_policy_loss

# %% What you may change
SEED = 0
FULL = False  # True: five minutes in place of one
KL_COEFS = [0.2, 0.0, 0.05, 1.0] if FULL else [0.2, 0.0]  # the first is compared with the second
STEPS = 40 if FULL else 20
LEARNING_RATE = 4e-4
TESTED = 500 if FULL else 250  # held-out questions

# %% Before you look: what will happen?
watch = lab.watch("rlhf", seed=SEED, cover="gold", kl_coefs=KL_COEFS, steps=STEPS, lr=LEARNING_RATE)
watch.predict("Without a penalty, the reward model's score ...", "rises", "stays", "falls")
watch.predict("Without a penalty, the gold judge's score ...", "rises", "stays", "falls")

# %% The model to begin with, whoever judges, and what is asked
sft, reward = str(lab.prepared("sft")), lab.reward_model(str(lab.prepared("reward")), trainable=False)
start = lab.policy(sft, trainable=False)
prompts = lab.prompts("town:prompts", count=2000, seed=SEED)
asked = lab.prompts("town:test", count=TESTED)


# %% The loop
def learn(kl_coef):
    arm = f"kl_coef {kl_coef:g}"
    policy = lab.policy(sft)
    optimizer = lab.adam(policy, LEARNING_RATE, STEPS * 4)
    for step in range(STEPS):
        # 1. the policy writes: four answers to each of 32 prompts, in four parts of 32 rows
        drawn = lab.draw(prompts, 32, step, seed=SEED)
        done = lab.answer(policy, drawn, n=4, temperature=1.0, seed=1000 * SEED + step)
        parts = [lab.batch(policy, done[row : row + 32]) for row in range(0, 128, 32)]
        # 2. the reward model judges
        scores_B = lab.score(reward, done)
        # 3. how likely was each token, for the policy that wrote it and for the model to begin with?
        with torch.no_grad():
            old = [lab.logprobs(policy, part) for part in parts]
            first = [lab.logprobs(start, part) for part in parts]
        # 4. the penalty: how much likelier the policy finds its answer than the model to begin with does
        kl_B = torch.cat([(old_BT - first_BT).sum(1) for old_BT, first_BT in zip(old, first, strict=True)])
        shaped_PG = (scores_B - kl_coef * kl_B).view(32, 4)
        # 5. was it better than the other three answers to the same prompt?
        advantages_B = group_advantages(shaped_PG, kind="rloo").flatten()
        # 6. four small steps: better ones become likelier, as far as the clip lets them
        for part, old_BT, advantages_32 in zip(parts, old, advantages_B.split(32), strict=True):
            mask_BT = part.loss_mask_BT
            loss, _ = group_policy_loss(
                lab.logprobs(policy, part),
                old_BT,
                advantages_32,
                mask_BT,
                weights_BT=mask_BT / (32 * 48),
                epsilon=0.2,
            )
            loss.backward()
            optimizer.step()
        gold = lab.score("town:gold", done).mean()  # seen by us, not by the policy
        words = sum(len(answer.text.split()) for answer in done) / len(done)
        watch.log(step, arm, proxy=scores_B.mean(), gold=gold, kl=kl_B.mean(), words=words)
        if step % 8 == 0 or step == STEPS - 1:
            watch.answers(step, lab.answer(policy, asked[:4]), arm)
    return lab.answer(policy, asked, n=2, temperature=1.0, seed=SEED)


# %% Each arm, and the model to begin with, on the same held-out questions
answers = {f"{kl_coef:g}": learn(kl_coef) for kl_coef in KL_COEFS}
answers["start"] = lab.answer(start, asked, n=2, temperature=1.0, seed=SEED)
proxy = {arm: lab.score(reward, done).tolist() for arm, done in answers.items()}
gold = {arm: lab.score("town:gold", done).tolist() for arm, done in answers.items()}


def gain(of, arm, over):
    """Of each held-out question, how much more this arm's two answers are worth."""
    pairs = list(zip(of[arm], of[over], strict=True))
    return [sum(a - b for a, b in pairs[place : place + 2]) / 2 for place in range(0, len(pairs), 2)]


# %% Verdict
held, free = [*answers][:2]
watch.verdict(
    "without a penalty the reward model's score ends higher than with it",
    gain(proxy, free, held),
    at_least=0.0,
    contrary="no more reward: then the penalty would cost nothing, and nothing could be said of gaming",
)
watch.verdict(
    "and gold ends lower than with the penalty",
    gain(gold, free, held),
    at_most=0.0,
    contrary="as much gold: the reward model could be trusted however hard it is pushed",
)
watch.verdict(
    "with the penalty gold rises over the model to begin with",
    gain(gold, held, "start"),
    at_least=0.03,
    contrary="no gain: the reward model would have taught nothing",
)
watch.done()
