"""From a base language model to an aligned assistant, measured at every step."""

__version__ = "0.1.0"
