"""Figures that only the town has: a base model on bare questions, a critic on drafts."""
