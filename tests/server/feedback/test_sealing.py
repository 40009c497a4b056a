"""Encryption of stored texts."""

import pytest

from prefixes.registry.recorded_answer_rows import SealedText
from server.errors import FeedbackUnreadable
from server.feedback import sealing
from server.feedback.sealing import Sealer, find_key_problem, new_key
from server.settings import Settings
from server.settings.errors import InvalidSettings

TEXT = "żółw 🐢 " * 50


def test_without_keys_texts_stay_as_they_are() -> None:
    sealed = Sealer().seal(TEXT.encode())
    assert sealed == SealedText(TEXT.encode(), None)
    assert Sealer().open(sealed) == TEXT.encode()


def test_what_is_no_key_is_reported_without_quoting_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong in ("secret-word", new_key()[:-2], "ключ", f"{new_key()},secret-word"):
        monkeypatch.setenv("POLYPREFIX_FEEDBACK_KEYS", wrong)
        with pytest.raises(InvalidSettings) as caught:
            Settings.load()
        assert "POLYPREFIX_FEEDBACK_KEYS" in str(caught.value)
        assert "generate-key" in str(caught.value)
        assert "secret-word" not in str(caught.value)


def test_keys_without_the_package_are_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "find_spec", lambda name: None)
    problem = find_key_problem([new_key()])
    assert problem is not None
    assert "polyprefix[encryption]" in problem
    assert find_key_problem([]) is None


class TestWithCryptography:
    @pytest.fixture(autouse=True)
    def _needs_the_package(self) -> None:
        pytest.importorskip("cryptography", reason="the extra `encryption` is not installed")

    def test_sealed_texts_are_not_readable_without_the_key(self) -> None:
        key = new_key()
        sealed = Sealer([key]).seal(TEXT.encode())
        assert TEXT.encode()[:8] not in sealed.data
        assert Sealer([key]).open(sealed) == TEXT.encode()
        assert sealed != Sealer([key]).seal(TEXT.encode())

    def test_the_first_key_encrypts_and_all_decrypt(self) -> None:
        old, new = new_key(), new_key()
        before = Sealer([old]).seal(b"before")
        rotated = Sealer([new, old])
        after = rotated.seal(b"after")
        assert rotated.open(before) == b"before"
        assert Sealer([new]).open(after) == b"after"
        assert Sealer([new, old]).open(SealedText(b"plain", None)) == b"plain"

    @pytest.mark.parametrize("keys", [0, 1])
    def test_a_missing_key_is_named(self, keys: int) -> None:
        sealed = Sealer([new_key()]).seal(b"text")
        with pytest.raises(FeedbackUnreadable, match=f"key {sealed.key}, which"):
            Sealer([new_key()][:keys]).open(sealed)

    def test_damaged_bytes_are_reported(self) -> None:
        sealer = Sealer([new_key()])
        sealed = sealer.seal(b"text")
        for data in (sealed.data[:-1], b"", sealed.data[::-1]):
            with pytest.raises(FeedbackUnreadable, match="do not fit"):
                sealer.open(SealedText(data, sealed.key))
