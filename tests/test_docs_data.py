"""The page about data is what its script writes today."""

import importlib.util
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"


def test_the_page_is_current() -> None:
    spec = importlib.util.spec_from_file_location("make_data", DOCS / "make_data.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (DOCS / "data.md").read_text(encoding="utf-8") == module.page(), "python docs/make_data.py"
