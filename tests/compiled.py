"""The compiled attention for tests, compiled if it was not."""

from typing import Any

import pytest

from prefixes.backbone.native.build import build, find_compiler
from prefixes.backbone.native.library import compiled_attention


def attention_operator() -> Any:
    """Return the operator. Only a machine without a compiler skips the test."""
    if find_compiler() is None:
        pytest.skip("needs a C++ compiler")
    build()
    operator = compiled_attention()
    assert operator is not None
    return operator
