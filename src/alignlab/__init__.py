"""From a base language model to an aligned assistant, measured at every step.

    from alignlab import lab, losses

`losses` are pure functions of tensors, `lab` is the way in from Python and from a notebook. Importing this
package imports neither, and no torch.
"""

from typing import Any

__version__ = "0.1.0"
_FROM_PYTHON = ("lab", "losses")


def __getattr__(name: str) -> Any:
    """`alignlab.lab` and `alignlab.losses`, imported when they are asked for."""
    if name in _FROM_PYTHON:
        from importlib import import_module

        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
