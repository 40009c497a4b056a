"""Near-duplicate texts, found with MinHash (Broder, "On the resemblance and containment of
documents", 1997) and locality-sensitive hashing of its signatures.
"""

import re
from collections import defaultdict
from typing import Final
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

MIN_SIMILARITY: Final = 0.7
"""Share of common character trigrams from which two texts count as near-duplicates."""
_NUM_HASHES: Final = 96
_ROWS_OF_A_BAND: Final = 4
_MAX_CHARACTERS: Final = 2000
"""Only the beginning of a text is compared, so that the cost is bounded."""
_PRIME: Final = np.uint64(2**32 + 15)
"""The smallest prime above the hashes of trigrams."""
_OTHER_CHARACTERS: Final = re.compile(r"[\W_]+")

_Signature = NDArray[np.uint64]


class DuplicateIndex:
    """The texts seen so far. Needs about 0.1 ms and 2 kB for a text of a sentence."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)  # fixed, so that pages of one list agree
        self._factors = rng.integers(1, 2**31, (_NUM_HASHES, 1), dtype=np.uint64)
        self._shifts = rng.integers(0, 2**31, (_NUM_HASHES, 1), dtype=np.uint64)
        self._signatures: list[_Signature] = []
        self._bands: dict[bytes, list[int]] = defaultdict(list)

    def add(self, text: str) -> bool:
        """Add a text. Return whether it is new: not a near-duplicate of an earlier one."""
        signature = self._signature(text)
        keys = [
            bytes([place]) + signature[place : place + _ROWS_OF_A_BAND].tobytes()
            for place in range(0, _NUM_HASHES, _ROWS_OF_A_BAND)
        ]
        similar = {number for key in keys for number in self._bands.get(key, ())}
        if any(self._similarity(number, signature) >= MIN_SIMILARITY for number in similar):
            return False
        for key in keys:
            self._bands[key].append(len(self._signatures))
        self._signatures.append(signature)
        return True

    def _signature(self, text: str) -> _Signature:
        """Return the minimum of each hash over the trigrams; equal with their similarity as
        probability.
        """
        trigrams = np.array([crc32(one.encode()) for one in _trigrams(text)], np.uint64)
        lowest: _Signature = ((self._factors * trigrams + self._shifts) % _PRIME).min(axis=1)
        return lowest

    def _similarity(self, number: int, signature: _Signature) -> float:
        return float((self._signatures[number] == signature).mean())


def _trigrams(text: str) -> set[str]:
    """Return the sequences of three characters, regardless of case, spacing and punctuation."""
    start = text[:_MAX_CHARACTERS]
    words = _OTHER_CHARACTERS.sub(" ", start.casefold()).strip() or start
    padded = f"  {words} "  # at least one trigram, also of an empty text
    return {padded[place : place + 3] for place in range(len(padded) - 2)}
