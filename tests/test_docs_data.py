"""The page about data is what its script writes today."""

from .scripts import ROOT, script


def test_the_page_is_current() -> None:
    assert (ROOT / "docs/data.md").read_text(encoding="utf-8") == script("docs/make_data.py").page(), (
        "python docs/make_data.py"
    )
