"""Texts that are nearly the same, in any language: MinHash over runs of characters (Broder 1997), each
candidate counted out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

RUN = 5  # characters
BANDS, ROWS = 20, 4
"""A pair that shares 0.8 of its runs meets in some band with probability 1 - (1 - 0.8^4)^20 > 0.9999."""
READ = 4000  # characters of a text that are looked at
PRIME = np.uint64((1 << 31) - 1)


def near_duplicates(texts: Sequence[str], *, threshold: float = 0.8, first: int = 0) -> list[tuple[int, int]]:
    """Pairs (i, j), at most one for each i: text j comes before i and shares at least `threshold` of the runs
    of either (Jaccard).

    Args:
        first: find only i from here on, and only j before it: what of the later texts is in the earlier ones.
            0 compares all with all.
    """
    shingles = [_runs(text) for text in texts]
    draw = np.random.default_rng(0)
    a, b = (draw.integers(1, int(PRIME), BANDS * ROWS, dtype=np.uint64) for _ in range(2))
    buckets: list[dict[bytes, list[int]]] = [{} for _ in range(BANDS)]
    pairs = []
    for i, own in enumerate(shingles):
        if not own.size:
            continue
        signature = ((own[:, None] * a + b) % PRIME).min(0).reshape(BANDS, ROWS)
        places = [(bucket, band.tobytes()) for bucket, band in zip(buckets, signature, strict=True)]
        if i >= first:
            near: set[int] = set()
            for bucket, key in places:
                near.update(bucket.get(key, ())[:50])
            for j in sorted(near):
                if _jaccard(own, shingles[j]) >= threshold:
                    pairs.append((i, j))
                    break
        if not first or i < first:
            for bucket, key in places:
                bucket.setdefault(key, []).append(i)
    return pairs


def _runs(text: str) -> np.ndarray:
    """The different runs of characters of a text, as hashes below `PRIME`; case and blanks do not count."""
    words = " ".join(text[:READ].casefold().split())
    codes = np.frombuffer(words.encode("utf-32-le", "replace"), dtype="<u4").astype(np.uint64)
    if codes.size < RUN:
        return np.unique(codes)
    hashes = np.zeros(codes.size - RUN + 1, dtype=np.uint64)
    for k in range(RUN):
        hashes = (hashes * np.uint64(1_000_003) + codes[k : codes.size - RUN + 1 + k]) % PRIME
    return np.unique(hashes)


def _jaccard(a: np.ndarray, b: np.ndarray) -> float:
    shared = np.intersect1d(a, b, assume_unique=True).size
    return shared / (a.size + b.size - shared)
