"""Data of the field in and out: any known format -> the records of `alignlab.records`.

`checks` (what fits the model) and `view` (what the model is trained on) need a tokenizer and are imported by
name.
"""

from .formats import Useless, Want, convert, detect
from .load_report import LoadReport
from .read import Loaded, load_records
from .split import by_question
from .write import write

__all__ = [
    "LoadReport",
    "Loaded",
    "Useless",
    "Want",
    "by_question",
    "convert",
    "detect",
    "load_records",
    "write",
]
