"""Record the names and defaults of TRL's configs, for `alignlab from-trl`: python docs/record_trl_fields.py,
once with trl==1.16.0 installed, once with 1.12.0 (PPO).
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import trl

OUT = Path(__file__).parents[1] / "src/alignlab/interop/trl_fields.json"


def default(field: dataclasses.Field[Any]) -> Any:
    value = field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
    value = getattr(value, "value", value)  # enumerations by their text
    return value if isinstance(value, (bool, int, float, str, list, dict, type(None))) else None


def fields(*kinds: Any) -> dict[str, Any]:
    return {field.name: default(field) for kind in kinds for field in dataclasses.fields(kind)}


def main() -> None:
    if trl.__version__.startswith("1.12."):
        from trl.experimental.ppo import PPOConfig

        kinds: dict[str, Any] = {"ppo": PPOConfig}
    else:
        from trl.experimental.cpo import CPOConfig
        from trl.experimental.orpo import ORPOConfig

        kinds = {
            "sft": trl.SFTConfig,
            "reward": trl.RewardConfig,
            "dpo": trl.DPOConfig,
            "kto": trl.KTOConfig,
            "orpo": ORPOConfig,
            "simpo": CPOConfig,
            "rloo": trl.RLOOConfig,
            "grpo": trl.GRPOConfig,
        }
    book = json.loads(OUT.read_text()) if OUT.exists() else {}
    for name, kind in kinds.items():
        book[name] = {"trl": trl.__version__, "config": kind.__name__, "fields": fields(kind)}
    book["script"] = {
        "trl": trl.__version__,
        "config": "ScriptArguments and ModelConfig",
        "fields": fields(trl.ScriptArguments, trl.ModelConfig),
    }
    OUT.write_text(
        "{\n"
        + ",\n".join(f" {json.dumps(name)}: {json.dumps(book[name])}" for name in sorted(book))
        + "\n}\n"
    )


if __name__ == "__main__":
    main()
