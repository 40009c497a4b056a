"""Sealer: encrypts stored texts if the operator gives keys.

A key is one of Fernet (AES-128-CBC with HMAC-SHA256), of the package `cryptography`.
"""

import base64
import binascii
import hashlib
import secrets
from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from prefixes.registry.recorded_answer_rows import SealedText
from server.errors import FeedbackUnreadable

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

MISSING_PACKAGE: Final = (
    "encryption needs the package `cryptography`, which is not installed. Install "
    "polyprefix[encryption], or unset the setting."
)
_KEY_BYTES: Final = 32


def new_key() -> str:
    """Make a key that cannot be guessed."""
    return base64.urlsafe_b64encode(secrets.token_bytes(_KEY_BYTES)).decode()


def find_key_problem(keys: Sequence[str]) -> str | None:
    """Return what is wrong with keys, without quoting them; None if they can be used."""
    if not all(map(_is_key, keys)):
        return (
            "a key is not valid. Make keys with `polyprefix feedback generate-key`, and separate "
            "them by commas."
        )
    if keys and find_spec("cryptography") is None:
        return MISSING_PACKAGE
    return None


class Sealer:
    """Seals texts with the first key, and opens those of all keys. Safe to use from many threads.

    Without keys, texts stay as they are.
    """

    def __init__(self, keys: Sequence[str] = ()) -> None:
        self._ciphers = {_name_of(key): _cipher(key) for key in keys}
        self._current = next(iter(self._ciphers), None)

    @property
    def current(self) -> str | None:
        """The name of the key that encrypts; None without keys."""
        return self._current

    def reseal(self, sealed: SealedText) -> SealedText | None:
        """Seal a stored text with the first key; return None if it cannot be read."""
        if sealed.key == self._current:
            return sealed
        try:
            return self.seal(self.open(sealed))
        except FeedbackUnreadable:
            return None

    def seal(self, text: bytes) -> SealedText:
        """Encrypt a text if there is a key."""
        if self._current is None:
            return SealedText(text, None)
        return SealedText(self._ciphers[self._current].encrypt(text), self._current)

    def open(self, sealed: SealedText) -> bytes:
        """Return the text.

        Raises:
            FeedbackUnreadable: when the key is missing, or the stored bytes are damaged.
        """
        if sealed.key is None:
            return sealed.data
        cipher = self._ciphers.get(sealed.key)
        if cipher is None:
            raise FeedbackUnreadable(
                f"A stored text cannot be read: it is encrypted with the key {sealed.key}, which "
                "POLYPREFIX_FEEDBACK_KEYS does not have. Ask the operator to add that key, or "
                "delete the stored answers."
            )
        return _opened(cipher, sealed)


def _opened(cipher: "Fernet", sealed: SealedText) -> bytes:
    from cryptography.fernet import InvalidToken  # noqa: PLC0415 - an optional package

    try:
        return cipher.decrypt(sealed.data)
    except InvalidToken:
        raise FeedbackUnreadable(
            f"A stored text cannot be read: its bytes do not fit the key {sealed.key}. Ask the "
            "operator to restore the database, or delete the stored answers."
        ) from None


def _cipher(key: str) -> "Fernet":
    from cryptography.fernet import Fernet  # noqa: PLC0415 - an optional package

    return Fernet(key)


def _name_of(key: str) -> str:
    """Name a key by its digest, which reveals nothing about its 256 random bits."""
    return hashlib.sha256(_decoded(key)).hexdigest()[:16]


def _is_key(key: str) -> bool:
    try:
        return len(_decoded(key)) == _KEY_BYTES
    except (ValueError, binascii.Error):
        return False


def _decoded(key: str) -> bytes:
    return base64.b64decode(key.encode("ascii"), altchars=b"-_", validate=True)
