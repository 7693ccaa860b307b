"""What the model sees of data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import names
from ..settings import ModelSettings

if TYPE_CHECKING:
    pass


def view(*, model: str, data: str, count: int, chat_template: str = "") -> None:
    """Tokens and loss mask of the first rows, in colour."""
    from ..data.view import show

    records = names.data.read_data(data, names.data.kind(data), count=count).records[:count]
    from ..models.reader import load_reader

    show(
        records,
        load_reader(names.models.model(model).path, ModelSettings(chat_template=chat_template)).tokenizer,
    )
