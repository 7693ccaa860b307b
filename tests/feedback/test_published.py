"""Figures of agreement as they were published, and to 1e-9 as fractions by their definitions.

A figure that was published with so many digits is right to its last one (some were cut, not rounded). Units
are written as the labels that their raters gave, one letter a rater, `*` where one is missing.
"""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction
from itertools import combinations, permutations

import numpy as np
import pytest

from alignlab.feedback.agreement import (
    ac1_of,
    ac1_parts,
    alpha_of,
    cohen_kappa,
    coincidences,
    fleiss_kappa,
    gwet_ac1,
    krippendorff_alpha,
)

Units = list[str]


def table(*rows: str) -> Units:
    """Units of two raters from a table that says how often the first chose the row, the second the column."""
    cells = [[int(cell) for cell in row.split()] for row in rows]
    return [f"{i}{j}" for i, row in enumerate(cells) for j, count in enumerate(row) for _ in range(count)]


def times(**counts: int) -> Units:
    """Each unit so many times."""
    return [unit.lstrip("_") for unit, count in counts.items() for _ in range(count)]


COHEN_37 = table("25 12 3", "13 2 15", "12 16 2")
COHEN_45 = table("88 14 18", "10 40 10", "2 6 12")
AGRESTI = table("22 2 2 0", "5 7 14 0", "0 2 36 0", "0 1 17 10")
ARTSTEIN_558 = table("20 10", "20 50")
ARTSTEIN_568 = table("46 0 0", "6 32 6", "0 0 10")
BRENNAN_689 = table("50 0 0", "10 10 10", "20 0 0")
BRENNAN_691 = table("50 0 10", "0 10 10", "10 10 0")
ABSTRACTORS = table("13 0 0", "0 20 7", "0 4 56")
DIAGNOSIS = table("40 4 4 17", "6 25 2 13", "4 1 21 12", "15 5 9 45")
LIKERT_4 = table("20 5 1 0", "4 15 6 1", "0 5 18 4", "0 1 3 12")
LIKERT_5 = table("15 4 1 0 0", "3 12 4 1 0", "1 3 14 3 1", "0 1 3 10 2", "0 0 1 2 8")
ZWICK_1 = table("20 0 0 5", "0 10 15 0", "0 15 10 0", "5 0 0 20")
ZWICK_2 = table("20 10 10 0", "10 10 0 0", "10 0 10 0", "0 0 0 20")
ZWICK_3 = table("20 5 5 10", "0 10 5 5", "0 5 10 5", "0 0 0 20")
KRIPPENDORFF_246A = table("12 9 9", "9 14 9", "9 9 20")
KRIPPENDORFF_246B = table("12 18 18", "0 14 18", "0 0 20")
KRIPPENDORFF_224 = "10 11 01 00 00 01 00 01 00 00".split()
KRIPPENDORFF_227 = "11 12 22 22 22 22 23 33 33 33 33 33".split()
KRIPPENDORFF_230 = "11*1 2232 3333 3333 2222 1234 4444 1121 2222 *555 **11 **3*".split()
KRIPPENDORFF_139 = "111 122 222 444 144 222 123 333 222".split()
HAYES = (
    "112*2 1101* 2333* *00*0 000*0 000*0 102*1 1*20* 222*2 2111* *100* 0000* 1222* 33223 111*1 111*1 212*2 "
    "1233* 1101* 000*0 0011* 00*00 2333* 0000* 12*22 0111* 00010 1212* 1122* 112*2 110*0 2121* 22*22 3222* "
    "222*2 223*2 222*2 22*12 2222* 111*1"
).split()
FLEISS = (
    "444444 222555 233335 555555 222444 113333 333355 113334 114444 555555 144444 124444 222333 144444 "
    "224445 333335 111455 111112 224444 133555 555555 244444 224555 114444 144445 222224 111155 224444 "
    "133333 555555"
).split()
GWET_4 = "11*1 2232 3333 3333 2222 1234 4444 1121 2222 *555 **11 **3*".split()
GWET_5 = ("112*2 1101* 2333* *00*0 000*0 000*0 102*1 1*20* 222*2 2111* *100* 0000* 1222* 33223 111*1").split()
GENDER = "aaac aabc aabc aacc abaa baaa bbbb bcbb cccc aaac aabc aabc aacc abaa baaa".split()
G1G2 = "aa*a bbcb cccc cccc bbbb abcd dddd aaba bbbb *eee **aa **c* bbcb bacb".split()
BEN_GERRY = "ab aa bb bb db cc cc cc ee d* dd ad".split()
WARRENS_2010 = times(NNNNNNNN=14, NNNANNNN=1, NNNNNNNA=1, AAAAAAAA=10, AANAAAAN=2, AANANAAN=1, AANANANN=1)
WARRENS_2012 = table("10 4", "0 16")
MIESKES = "uvu iii uuu iii rrr jjj iii ppp nnr vwv ppp iii ruu iii mmm ppp iii".split()
RANDOLPH_1, RANDOLPH_2 = "yyy yyn nny nnn".split(), "yyy yyn yyn yyy".split()
PARADOX = table("80 7", "8 5")
DKPRO_SKEWED, DKPRO_FEW = table("8 1", "0 1"), times(_11=11, _12=1, _13=1)
DKPRO_SAME = ["yy"] * 10
NLTK_2865, NLTK_3264, NLTK_2043 = "11* 111 2*2".split(), "11 *2".split(), "yn* ynn **y".split()
FAST_11 = "33333 3333* 33*33 33*33 33313".split()

PUBLISHED: list[tuple[str, Units, str, str]] = [
    ("Cohen 1960, p. 37", COHEN_37, "raw", ".29"),
    ("Cohen 1960, p. 45", COHEN_45, "raw", ".70"),
    ("Cohen 1960, p. 45", COHEN_45, "kappa", ".492"),
    ("Landis & Koch 1977, in Agresti 1992, p. 202", AGRESTI, "kappa", ".493"),
    ("Artstein & Poesio 2008, p. 558", ARTSTEIN_558, "raw", ".7"),
    ("Artstein & Poesio 2008, p. 558", ARTSTEIN_558, "kappa", ".348"),
    ("Artstein & Poesio 2008, p. 568", ARTSTEIN_568, "raw", ".88"),
    ("Artstein & Poesio 2008, p. 568", ARTSTEIN_568, "kappa", ".8013"),
    ("Artstein & Poesio 2008, p. 568", ARTSTEIN_568, "alpha", ".800"),
    ("Brennan & Prediger 1981, p. 689", BRENNAN_689, "kappa", ".27"),
    ("Brennan & Prediger 1981, p. 691", BRENNAN_691, "kappa", ".29"),
    ("Zwick 1988, p. 376, 1", ZWICK_1, "kappa", ".467"),
    ("Zwick 1988, p. 376, 2", ZWICK_2, "kappa", ".444"),
    ("Zwick 1988, p. 376, 3", ZWICK_3, "kappa", ".474"),
    ("Krippendorff 1980, p. 139", KRIPPENDORFF_139, "alpha", ".642"),
    ("Krippendorff 1980, p. 139", KRIPPENDORFF_139, "alpha interval", ".547"),
    ("Krippendorff 2004, p. 224", KRIPPENDORFF_224, "raw", ".6"),
    ("Krippendorff 2004, p. 224", KRIPPENDORFF_224, "alpha", ".095"),
    ("Krippendorff 2004, p. 227", KRIPPENDORFF_227, "alpha", ".734"),
    ("Krippendorff 2004, p. 230", KRIPPENDORFF_230, "alpha", ".743"),
    ("Krippendorff 2011, p. 8", KRIPPENDORFF_230, "alpha ordinal", ".815"),
    ("Krippendorff 2011, p. 9", KRIPPENDORFF_230, "alpha interval", ".849"),
    ("Krippendorff 2004, p. 246", KRIPPENDORFF_246A, "raw", ".46"),
    ("Krippendorff 2004, p. 246", KRIPPENDORFF_246A, "kappa", ".186"),
    ("Krippendorff 2004, p. 246", KRIPPENDORFF_246B, "kappa", ".258"),
    ("Hayes & Krippendorff 2007", HAYES, "alpha ordinal", ".7598"),
    ("Fleiss 1971", FLEISS, "fleiss", ".430"),
    ("Randolph 2005, p. 17, 1", RANDOLPH_1, "fleiss", ".33"),
    ("Randolph 2005, p. 17, 2", RANDOLPH_2, "fleiss", "-.2"),
    ("Mieskes 2009, p. 58", MIESKES, "fleiss", ".80"),
    ("Warrens 2010, p. 284", WARRENS_2010, "fleiss", ".8324"),
    ("Warrens 2010, p. 284", WARRENS_2010, "light", ".8325"),
    ("Warrens 2012, p. 3", WARRENS_2012, "kappa", ".727"),
    ("Gwet 2014, four raters", GWET_4, "raw", ".818"),
    ("Gwet 2014, four raters", GWET_4, "ac1", ".775"),
    ("Gwet 2014, five observers", GWET_5, "ac1", ".497"),
    ("Gwet 2014, five observers", GWET_5, "alpha", ".481"),
    ("Gwet 2014, abstractors", ABSTRACTORS, "ac1", ".849"),
    ("Gwet 2014, abstractors", ABSTRACTORS, "alpha", ".797"),
    ("Gwet 2014, abstractors", ABSTRACTORS, "kappa", ".796"),
    ("Gwet 2014, abstractors", ABSTRACTORS, "kappa linear", ".843"),
    ("Gwet 2014, abstractors", ABSTRACTORS, "kappa quadratic", ".892"),
    ("Gwet 2014, diagnosis", DIAGNOSIS, "ac1", ".456"),
    ("Gwet 2014, diagnosis", DIAGNOSIS, "kappa", ".432"),
    ("Gwet 2014, diagnosis", DIAGNOSIS, "kappa linear", ".407"),
    ("Gwet 2014, diagnosis", DIAGNOSIS, "kappa quadratic", ".383"),
    ("irrCAC 1.4, gender", GENDER, "ac1", ".208"),
    ("irrCAC 1.4, gender", GENDER, "alpha", ".143"),
    ("irrCAC 1.4, two groups", G1G2, "ac1", ".685"),
    ("irrCAC 1.4, two groups", G1G2, "alpha", ".632"),
    ("irrCAC 1.4, Ben and Gerry", BEN_GERRY, "ac1", ".661"),
    ("irrCAC 1.4, Ben and Gerry", BEN_GERRY, "alpha", ".665"),
    ("irrCAC 1.4 of Cohen 1960, p. 37", COHEN_37, "ac1", "-.04797"),
    ("irrCAC 1.4 of Cohen 1960, p. 45", COHEN_45, "ac1", ".57597"),
    ("irrCAC 1.4, four by four", LIKERT_4, "ac1", ".58046"),
    ("irrCAC 1.4, five by five", LIKERT_5, "ac1", ".57997"),
    ("irrCAC 1.4, the paradox of kappa", PARADOX, "ac1", ".808"),
    ("DKPro, Gwet2008Test", DKPRO_SKEWED, "ac1", ".8658"),
    # traps: what a library said first, and what is right
    ("DKPro, WeightedAgreementTest", DKPRO_FEW, "alpha", "-.020"),
    ("DKPro, WeightedAgreementTest", DKPRO_FEW, "kappa", ".000"),
    ("DKPro issue 35: all the same was 0", DKPRO_SAME, "alpha", "1"),
    ("NLTK issue 2865: a missing rating was a label", NLTK_2865, "alpha", "1"),
    ("NLTK issue 3264: a label that one rating alone has", NLTK_3264, "alpha", "1"),
    ("NLTK pull request 2043: a unit with one rating", NLTK_2043, "alpha", "-.333"),
    ("fast-krippendorff issue 11: one that differs", FAST_11, "alpha", ".000"),
]


# --- by their definitions, in fractions


def ratings(unit: str) -> str:
    return unit.replace("*", "")


def expected_alpha(units: Units, level: str) -> Fraction:
    pairable = [ratings(unit) for unit in units if len(ratings(unit)) > 1]
    counts = Counter("".join(pairable))
    order = sorted(counts)
    n = sum(counts.values())

    def apart(a: str, b: str) -> Fraction:
        if level == "ordinal":
            low, high = sorted((a, b))
            between = sum(counts[c] for c in order if low <= c <= high)
            return (between - Fraction(counts[a] + counts[b], 2)) ** 2 if a != b else Fraction(0)
        return Fraction((int(a) - int(b)) ** 2) if level == "interval" else Fraction(a != b)

    observed = sum(
        (apart(a, b) / (len(unit) - 1) for unit in pairable for a, b in permutations(unit, 2)), Fraction(0)
    )
    chance = sum((apart(a, b) * counts[a] * counts[b] for a in order for b in order), Fraction(0)) / (n - 1)
    return 1 - observed / chance if chance else Fraction(1)


def agreed(unit: str) -> Fraction:
    pairs = list(combinations(unit, 2))
    return Fraction(sum(a == b for a, b in pairs), len(pairs))


def expected_raw(units: Units) -> Fraction:
    several = [ratings(unit) for unit in units if len(ratings(unit)) > 1]
    return sum(map(agreed, several), Fraction(0)) / len(several)


def expected_ac1(units: Units) -> Fraction:
    some = [ratings(unit) for unit in units if ratings(unit)]
    labels = sorted(set("".join(some)))
    used = [sum(Fraction(unit.count(c), len(unit)) for unit in some) / len(some) for c in labels]
    chance = sum(pi * (1 - pi) for pi in used) / (len(labels) - 1)
    return (expected_raw(units) - chance) / (1 - chance)


def expected_fleiss(units: Units) -> Fraction:
    everything = "".join(units)
    chance = sum(Fraction(everything.count(c), len(everything)) ** 2 for c in set(everything))
    return (expected_raw(units) - chance) / (1 - chance)


def expected_kappa(units: Units, weights: str) -> Fraction:
    span = max(map(ord, "".join(units))) - min(map(ord, "".join(units)))

    def near(a: str, b: str) -> Fraction:
        apart = Fraction(abs(ord(a) - ord(b)), span)
        return {"nominal": Fraction(a == b), "linear": 1 - apart, "quadratic": 1 - apart**2}[weights]

    n = len(units)
    first, second = Counter(unit[0] for unit in units), Counter(unit[1] for unit in units)
    observed = sum(near(*unit) for unit in units) / n
    chance = sum(near(a, b) * first[a] * second[b] for a in first for b in second) / Fraction(n * n)
    return (observed - chance) / (1 - chance)


def pairs_of_raters(units: Units) -> list[Units]:
    return [[unit[i] + unit[j] for unit in units] for i, j in combinations(range(len(units[0])), 2)]


def expected(units: Units, figure: str) -> Fraction:
    name, _, how = figure.partition(" ")
    match name:
        case "alpha":
            return expected_alpha(units, how or "nominal")
        case "kappa":
            return expected_kappa(units, how or "nominal")
        case "light":
            each = [expected_kappa(pair, "nominal") for pair in pairs_of_raters(units)]
            return sum(each, Fraction(0)) / len(each)
    return {"raw": expected_raw, "ac1": expected_ac1, "fleiss": expected_fleiss}[name](units)


# --- ours


def counts_of(units: Units) -> np.ndarray:
    labels = sorted(set("".join(units)) - {"*"})
    return np.array([[unit.count(label) for label in labels] for unit in units])


def numbers(units: Units, rater: int) -> list[int]:
    return [ord(unit[rater]) for unit in units]


def ours(units: Units, figure: str) -> float:
    name, _, how = figure.partition(" ")
    match name:
        case "alpha":
            rows = [[None if c == "*" else ord(c) for c in rater] for rater in zip(*units, strict=True)]
            return krippendorff_alpha(rows, level=how or "nominal")  # type: ignore[arg-type]
        case "kappa":
            first, second = numbers(units, 0), numbers(units, 1)
            return cohen_kappa(first, second, weights=how or "nominal")  # type: ignore[arg-type]
        case "light":
            return float(np.mean([ours(pair, "kappa") for pair in pairs_of_raters(units)]))
        case "fleiss":
            return fleiss_kappa(counts_of(units).tolist())
    parts = ac1_parts(counts_of(units)).sum(0)
    return float(parts[0] / parts[1]) if name == "raw" else float(ac1_of(parts))


@pytest.mark.parametrize(("source", "units", "figure", "published"), PUBLISHED)
def test_a_published_figure(source: str, units: Units, figure: str, published: str) -> None:
    exact = float(expected(units, figure))
    assert ours(units, figure) == pytest.approx(exact, abs=1e-9), source
    digits = len(published.partition(".")[2])
    assert abs(exact - float(published)) <= 10**-digits, source


def test_there_are_enough_of_them() -> None:
    assert len(PUBLISHED) >= 40


def test_two_raters_are_a_case_of_many() -> None:
    for units in (COHEN_37, COHEN_45, PARADOX, LIKERT_5):
        assert gwet_ac1(numbers(units, 0), numbers(units, 1)) == pytest.approx(ours(units, "ac1"), abs=1e-12)


def test_without_a_pair_of_ratings_there_is_no_figure() -> None:
    nothing = np.array([[1, 0], [0, 1]])
    assert math.isnan(float(ac1_of(ac1_parts(nothing).sum(0))))
    assert math.isnan(float(alpha_of(coincidences(nothing).sum(0), [0, 1])))
    assert gwet_ac1("yyy", "yyy") == cohen_kappa("yyy", "yyy") == 1
