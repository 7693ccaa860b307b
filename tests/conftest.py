"""The same conditions for every test: one thread, no network, real data only where it lies."""

import os
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import pytest  # noqa: E402


@pytest.fixture
def data_dir() -> Path:
    """The folder of real data: $ALIGNLAB_DATA, or ../shared/data beside the checkout."""
    folder = Path(os.environ.get("ALIGNLAB_DATA") or Path(__file__).parents[1] / ".." / "shared" / "data")
    if not folder.is_dir():
        pytest.skip("no real data: set ALIGNLAB_DATA to its folder")
    return folder
