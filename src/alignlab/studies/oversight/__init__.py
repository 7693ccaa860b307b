"""The study `oversight`: what a model learns from a supervisor who is wrong or cannot check."""
