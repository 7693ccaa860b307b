"""Settings, beside their method's name: one file each; `resolve` reads them from flags and TOML, `rules` says
what they cannot be.
"""

from __future__ import annotations

from .best_of_n import BestOfNSettings
from .collecting import (
    CollectSettings,
    CrowdSettings,
    DistilSettings,
    HumanSettings,
    SelfInstructSettings,
    VotesSettings,
)
from .direct import PAIRS, DPOSettings, ORPOSettings, PairSettings, SimPOSettings
from .group import GroupSettings, GRPOSettings, RLOOSettings
from .kto import KTOSettings
from .label import AIJudgeSettings, BehaviourSettings, LabelSettings
from .measuring import EvalSettings, LikelihoodSettings, ShiftSettings
from .online_dpo import OnlineDPOSettings
from .ppo import PPOSettings
from .pretrain import CriticSettings, PretrainSettings
from .redteam import AttackerSettings, FrontierSettings, RedteamSettings
from .rejection import RejectionSettings
from .revise import ChainSettings, ReviseSettings, WalkSettings
from .reward_model import RewardSettings
from .serving import ChatSettings, ServeSettings
from .sft import SFTSettings
from .shared import (
    AdapterSettings,
    DataTraining,
    EndpointSettings,
    ModelSettings,
    OptimSettings,
    PromptTraining,
    RolloutTraining,
    SamplingSettings,
    Staged,
    Training,
    setting,
)

__all__ = [
    "PAIRS",
    "AIJudgeSettings",
    "AdapterSettings",
    "AttackerSettings",
    "BehaviourSettings",
    "BestOfNSettings",
    "ChainSettings",
    "ChatSettings",
    "CollectSettings",
    "CriticSettings",
    "CrowdSettings",
    "DPOSettings",
    "DataTraining",
    "DistilSettings",
    "EndpointSettings",
    "EvalSettings",
    "FrontierSettings",
    "GRPOSettings",
    "GroupSettings",
    "HumanSettings",
    "KTOSettings",
    "LabelSettings",
    "LikelihoodSettings",
    "ModelSettings",
    "ORPOSettings",
    "OnlineDPOSettings",
    "OptimSettings",
    "PPOSettings",
    "PairSettings",
    "PretrainSettings",
    "PromptTraining",
    "RolloutTraining",
    "RLOOSettings",
    "RedteamSettings",
    "RejectionSettings",
    "ReviseSettings",
    "RewardSettings",
    "SFTSettings",
    "SamplingSettings",
    "SelfInstructSettings",
    "ServeSettings",
    "ShiftSettings",
    "Staged",
    "SimPOSettings",
    "Training",
    "VotesSettings",
    "WalkSettings",
    "setting",
]
