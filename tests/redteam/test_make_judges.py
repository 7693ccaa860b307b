"""The page of judges says what the shipped card says, and its writer puts a card into the marks and nothing
else.
"""

import json

import pytest

from alignlab.evals.scorers import corrected_rate, scorer_card
from alignlab.feedback.safety.weights import shipped
from alignlab.redteam.steps import correction

from ..scripts import ROOT, script


def maker():
    return script("docs/make_judges.py")


def test_the_page_is_of_the_shipped_card():
    page, card = (ROOT / "docs" / "judges.md").read_text(encoding="utf-8"), shipped().card
    for name, key in (("model never seen", "new_model"), ("prompt never seen", "new_prompts")):
        held = card[key]["refusal_or_compliance"]
        assert f"| refusal classifier, {name} | {maker().share(held['accuracy'])} |" in page
    assert f"worst {card['new_model']['over_models']['accuracy']['min']:.3f}" in page
    assert f"{card['ngrams']} n-grams" in page and f"commit {card['commit']}" in page


def test_the_number_that_corrects_a_rate_is_the_one_of_models_left_out():
    known = shipped().card["new_model"]["correction"]
    assert correction("refusal")(12, 40) == corrected_rate(
        12, 40, sensitivity=tuple(known["sensitivity"]), specificity=tuple(known["specificity"])
    )
    assert known != shipped().card["new_prompts"]["correction"] and correction("town:gold") is None


def test_figures_go_between_the_marks(tmp_path):
    one = scorer_card([True, False, None, True], [True, False, True, False])
    found = {
        "rows": {"xstest": 4, "pyrit": 4},
        "models": ["m"],
        "people": one,
        "ms_an_answer": 1.0,
        "card": shipped().card,
        "made_of_help": [],
        "cards": [{"scorer": "mine", "xstest": one, "by_model": {"m": one}, "pyrit": None}],
    }
    (tmp_path / "cards.json").write_text(json.dumps(found))
    (tmp_path / "page.md").write_text("before\n<!-- cards -->\nstale words\n<!-- /cards -->\nafter\n")
    maker().main(tmp_path / "cards.json", tmp_path / "page.md")
    text = (tmp_path / "page.md").read_text()
    assert (
        text.startswith("before\n<!-- cards -->\n**Full refusal")
        and text.endswith("<!-- /cards -->\nafter\n")
        and "stale" not in text
    )
    assert "| mine | 0.500 (0.150-0.850) | 0.500 (0.095-0.905) | 1.000" in text
    (tmp_path / "bare.md").write_text("no marks")
    with pytest.raises(SystemExit):
        maker().main(tmp_path / "cards.json", tmp_path / "bare.md")
