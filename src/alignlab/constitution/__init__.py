"""Constitutions: principles in a file, what is wrong with them, and how a model is asked to judge by one."""
