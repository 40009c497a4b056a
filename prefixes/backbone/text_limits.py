"""TextLimits: how many characters and tokens of a task's texts are read."""

from dataclasses import dataclass
from typing import Final, Self

from prefixes.backbone.windows import Cut, Owners, context_cuts, first_cut, window_cuts
from prefixes.errors import TextTooLong
from prefixes.lengths import LengthOptions
from prefixes.spec import MAX_WINDOWS, LongTexts, PrefixSpec, traits_of
from prefixes.template import TextPair

_CHARACTERS_PER_TOKEN: Final = 32
_WINDOW_CHARACTERS_PER_TOKEN: Final = 8
_MIN_CHARACTERS: Final = 10_000


@dataclass(frozen=True, slots=True)
class TextLimits:
    """The limits of the texts of a task.

    `windows` is None if only the beginning of a text is read. `characters` are the maximum numbers
    of a text and of the second text of a pair.
    """

    spec: PrefixSpec
    truncate: bool
    windows: LongTexts | None
    characters: tuple[int, int]

    @classmethod
    def of(cls, spec: PrefixSpec, lengths: LengthOptions) -> Self:
        """Apply the options of a caller to a task."""
        windows = lengths.windows_of(spec)
        return cls(spec, lengths.truncate, windows, _max_characters(spec, windows))

    def check_characters(self, texts: TextPair) -> bool:
        """Return whether a text or pair has too many characters.

        Raises:
            TextTooLong: when it has, and must not be cut.
        """
        pairs = zip(texts, self.characters, strict=True)
        exceeded = [limit for part, limit in pairs if len(part or "") > limit]
        if exceeded and not self.truncate:
            raise TextTooLong(
                f"The input has more than {exceeded[0]} characters, far more than the task's "
                "tokens can need: shorten it, or enable truncation"
            )
        return bool(exceeded)

    def cuts(self, owners: Owners) -> list[Cut]:
        """Select the tokens of each text that the backbone runs, from those of an input.

        Raises:
            TextTooLong: when there are too many that must not be cut, or no room for any.
        """
        cuts = self._cuts(owners)
        if not self.truncate and cuts[0].is_truncated:
            raise TextTooLong(
                f"The input has {len(owners)} tokens, the task allows at most {self._allowed}: "
                "shorten it, or enable truncation"
            )
        return cuts

    def _cuts(self, owners: Owners) -> list[Cut]:
        max_length, answers = self.spec.max_length, self.spec.answers
        if answers is not None:
            return context_cuts(owners, max_length, stride=answers.stride)
        if self.windows is None:
            return [first_cut(owners, max_length)]
        # Entities are slices of the first text; a second one is only its context.
        part = 0 if traits_of(self.spec.task_type).is_per_token else None
        return window_cuts(owners, max_length, self.windows, part=part)

    @property
    def _allowed(self) -> str:
        max_length = self.spec.max_length
        if self.spec.answers is not None:
            return f"{MAX_WINDOWS} windows of {max_length}, half of each for the question"
        if self.windows is None or self.windows.merge == "first":
            return str(max_length)
        return f"{self.windows.max_windows} windows of {max_length}"


def _max_characters(spec: PrefixSpec, windows: LongTexts | None) -> tuple[int, int]:
    usual = max(_MIN_CHARACTERS, _CHARACTERS_PER_TOKEN * spec.max_length)
    of_window = _WINDOW_CHARACTERS_PER_TOKEN * spec.max_length
    if spec.answers is not None:
        return usual, max(usual, of_window * MAX_WINDOWS)
    if windows is None:
        return usual, usual
    longest = max(usual, of_window * windows.max_windows)
    return longest, longest
