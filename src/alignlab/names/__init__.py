"""What the names on the command line stand for. Imports no torch: what is heavy is imported where needed."""

from . import data, judges, known, models, people, weights

__all__ = ["data", "judges", "known", "models", "people", "weights"]
