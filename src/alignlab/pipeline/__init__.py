"""Stages run side by side, in order of what they need of one another."""
