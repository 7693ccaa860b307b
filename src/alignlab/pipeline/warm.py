"""Imports what every stage needs, once, in the process that the pipeline's stages are forked from."""

from importlib import import_module

from ..run import code

NEEDED = """
    collecting.best_of_n collecting.collect data.read evals.answers feedback.reward_model
    methods.direct methods.group methods.kto methods.online_dpo methods.ppo methods.rejection
    methods.reward_model methods.sft models.load sampling.local stages town.gold town.measure.bare town.sets
"""
FIRST = "sft", "collect", "reward", "dpo", "ppo", "rloo", "rejection", "best-of-n", "eval"
"""Stages whose code, which a run's key covers, is read once, for all who are forked."""

for module in ("torch", "transformers.models.llama.modeling_llama"):
    import_module(module)
for name in NEEDED.split():
    import_module(f"..{name}", __package__)
for stage in FIRST:
    code.sources(stage, {"options": {"judge": "town:gold"}})
