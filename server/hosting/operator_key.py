"""The first operator's key: a given one, or a new one in a file of the store's folder."""

import logging
from functools import partial
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from prefixes.atomic import write_atomically
from prefixes.errors import KeyNotValid, StoreUnavailable
from prefixes.registry import Actor, ApiKeys, Database
from prefixes.registry.key_rows import new_key

FILE_NAME: Final = "operator-key"
_STARTUP: Final = Actor("startup")

_log = logging.getLogger(__name__)


def ensure_operator_key(database: Database, folder: Path, given: SecretStr | None) -> None:
    """Install the given key. Without one, make a key if no operator has ever had one.

    A new key is written to the file `operator-key`, which only its owner can read. It is never
    logged. A failure is logged, because a server must start on a full disk.
    """
    keys = ApiKeys(database)
    try:
        if given is not None:
            keys.install(given.get_secret_value(), "POLYPREFIX_OPERATOR_KEY", by=_STARTUP)
        elif not keys.list(None):  # a start that makes no key needs no lock
            _make(keys, folder / FILE_NAME)
    except (StoreUnavailable, KeyNotValid) as error:
        _log.warning("could not install the operator's key: %s", error)


def _make(keys: ApiKeys, path: Path) -> None:
    key = new_key()
    save = partial(write_atomically, path, f"{key}\n", is_private=True)
    # After a crash between the file and the end of the transaction, the next start makes a key.
    if keys.install_first(key, "first start", save=save, by=_STARTUP):
        _log.info("wrote a new operator's key to %s", path)
