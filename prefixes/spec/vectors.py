"""Vectors: a small matrix inside the JSON of a description."""

import base64
import binascii
from functools import cached_property
from typing import Annotated, Final, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from prefixes.values import Value, at_most

MAX_VECTOR_BYTES: Final = 512 * 2**10
"""Maximum bytes of one matrix, before base64. The 2 MiB of a header must hold more than that."""

_BYTES_OF_A_NUMBER: Final = 2


class Vectors(Value):
    """A matrix of finite float16 numbers: its shape, and its rows in base64, little-endian."""

    shape: Annotated[tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]], at_most(2)]
    data: str = Field(max_length=4 * MAX_VECTOR_BYTES // 3 + 4)

    @classmethod
    def of(cls, matrix: NDArray[np.floating]) -> Self:
        """Round a matrix to float16.

        Raises:
            ValidationError: when a number is not finite in float16, or there are too many.
        """
        rows, columns = matrix.shape
        data = base64.b64encode(matrix.astype("<f2").tobytes()).decode()
        return cls(shape=(rows, columns), data=data)

    @model_validator(mode="after")
    def _is_finite(self) -> Self:
        try:
            data = base64.b64decode(self.data, validate=True)
        except binascii.Error as error:
            raise ValueError(f"data is not valid base64: {error}") from error
        expected = self.shape[0] * self.shape[1] * _BYTES_OF_A_NUMBER
        if len(data) != expected:
            raise ValueError(f"expected {expected} bytes for shape {self.shape}, found {len(data)}")
        broken = int((~np.isfinite(np.frombuffer(data, "<f2"))).sum())
        if broken:
            raise ValueError(f"expected finite numbers, found {broken} NaN or infinite values")
        return self

    def __eq__(self, other: object) -> bool:
        # Pydantic's own comparison would include the cached matrix, which has no single truth.
        return isinstance(other, Vectors) and (self.shape, self.data) == (other.shape, other.data)

    def __hash__(self) -> int:
        return hash((self.shape, self.data))

    @cached_property
    def matrix(self) -> NDArray[np.float32]:
        """The numbers as float32, in the matrix's shape."""
        numbers = np.frombuffer(base64.b64decode(self.data), "<f2")
        return numbers.astype(np.float32).reshape(self.shape)
