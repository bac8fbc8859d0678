"""The word that was probably meant."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from itertools import chain

MANY = 100  # known words; of more, only those that share most pairs of letters with the word are compared with it
_CLOSEST = 10


def distance(a: str, b: str, limit: int) -> int:
    """Insertions, deletions, substitutions and swaps of neighbours between two words; `limit + 1` where more."""
    if abs(len(a) - len(b)) > limit:
        return limit + 1
    before: list[int] = []
    last = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        row = [i if i <= limit else limit + 1] + [limit + 1] * len(b)
        for j in range(max(1, i - limit), min(len(b), i + limit) + 1):  # what lies further off is too far
            y = b[j - 1]
            cost = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                cost = min(cost, before[j - 2] + 1)
            row[j] = cost
        if min(row) > limit:
            return limit + 1
        before, last = last, row
    return min(last[-1], limit + 1)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word next to `word`: one slip in a short word, up to three in a long one, or the one word that ends in
    it (`healthy`: service_healthy). None: nothing is near."""
    limit = 1 if len(word) <= 4 else 2 if len(word) <= 8 else 3
    folded = word.lower().replace("-", "_")
    best: tuple[int, str] | None = None
    known = tuple(known)
    for candidate in known if len(known) <= MANY else _closest(folded, known):
        d = distance(folded, candidate.lower().replace("-", "_"), limit)
        # A short word with all its letters wrong is not the same word.
        if d <= limit and d < max(len(word), len(candidate)) - 1 and (best is None or (d, candidate) < best):
            best = (d, candidate)
    ending = [candidate for candidate in known if len(word) > 2 and candidate.lower().endswith(f"_{folded}")]
    return best[1] if best else ending[0] if len(ending) == 1 else None


def _closest(folded: str, known: tuple[str, ...]) -> list[str]:
    """A few of very many words: a mistake in every line of a long file must not cost minutes."""
    index = _pairs_of(known)
    counted = Counter(chain.from_iterable(index.get(folded[i : i + 2], ()) for i in range(len(folded) - 1)))
    return [known[at] for at, _ in counted.most_common(_CLOSEST)]


@lru_cache(maxsize=8)
def _pairs_of(known: tuple[str, ...]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for at, word in enumerate(known):
        folded = word.lower().replace("-", "_")
        for pair in {folded[i : i + 2] for i in range(len(folded) - 1)}:
            found.setdefault(pair, []).append(at)
    return found


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """`did you mean 'resources'?`, or None."""
    near = nearest(word, known)
    return f"did you mean '{near}'?" if near else None


def file_meant(name: str, path: str) -> str | None:
    """As `did_you_mean`: the file beside `path`, which is absent, as `name`, which led there, would write it."""
    try:
        near = nearest(os.path.basename(path), os.listdir(os.path.dirname(path)))
    except OSError:
        return None
    return f"did you mean '{os.path.join(os.path.dirname(name), near)}'?" if near else None
