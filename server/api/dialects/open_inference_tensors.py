"""Tensors of the Open Inference Protocol: texts and numbers, in JSON or in binary.

In binary, the tensors follow the JSON document in its order, and the header
`Inference-Header-Content-Length` has the length of the document. A text is its length, four bytes
in little-endian order, followed by its UTF-8.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from prefixes.errors import InputRejected
from server.api.dialects.open_inference_schemas import InputTensor
from server.api.schemas import MAX_INPUTS

LENGTH_HEADER: Final = "Inference-Header-Content-Length"

_BYTES_OF_LENGTH: Final = 4


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """A named output. `values` are texts, or numbers of the data type `datatype`."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: Sequence[str] | NDArray[Any]

    @classmethod
    def of_numbers(cls, name: str, datatype: str, numbers: NDArray[Any]) -> "Tensor":
        """Build a tensor with the shape of an array."""
        return cls(name, datatype, numbers.shape, numbers.astype(_NUMPY[datatype]))

    @classmethod
    def of_texts(cls, name: str, texts: Sequence[str]) -> "Tensor":
        """Build a tensor with one dimension."""
        return cls(name, "BYTES", (len(texts),), texts)

    def to_list(self) -> list[Any]:
        """Return the values as a flat list, for JSON."""
        if isinstance(self.values, np.ndarray):
            flat: list[Any] = self.values.ravel().tolist()
            return flat
        return list(self.values)

    def to_bytes(self) -> bytes:
        """Return the values in binary."""
        if isinstance(self.values, np.ndarray):
            return self.values.tobytes()
        return b"".join(_packed(text.encode()) for text in self.values)


_NUMPY: Final = {"FP32": "<f4", "INT64": "<i8", "BOOL": "?"}


def split_body(body: bytes, header: str | None) -> tuple[bytes, bytes]:
    """Split a body into the JSON document and the binary tensors after it.

    Raises:
        InputRejected: when the header is not a length within the body.
    """
    if header is None:
        return body, b""
    if not (header.isascii() and header.isdecimal() and len(header) < 12):
        raise InputRejected(
            f"Invalid {LENGTH_HEADER} {header[:80]!r}: expected the number of bytes of the JSON. "
            "Correct it, or omit it if no tensor is binary."
        )
    if (length := int(header)) > len(body):
        raise InputRejected(
            f"{LENGTH_HEADER} is {length}, but the body has only {len(body)} bytes. Send the "
            "number of bytes of the JSON at the start of the body."
        )
    return body[:length], body[length:]


def texts_of(tensors: Sequence[InputTensor], binary: bytes) -> Iterator[list[str]]:
    """Yield the texts of each tensor, in the order of its shape.

    Raises:
        InputRejected: when the values of a tensor do not fit its shape, or are not texts.
    """
    place = 0
    for tensor in tensors:
        count = _num_elements(tensor)
        size = None if tensor.parameters is None else tensor.parameters.binary_data_size
        if size is None:
            found = list(_flat(tensor.data or [], tensor.name, len(tensor.shape)))
        else:
            found = _unpacked(_slice(binary, place, size, tensor.name), tensor.name)
            place += size
        if len(found) != count:
            raise InputRejected(
                f"The tensor {tensor.name!r} has {len(found)} texts, but its shape {tensor.shape} "
                f"needs {count}. Correct the shape or the data."
            )
        yield found
    if place != len(binary):
        raise InputRejected(
            f"The body has {len(binary)} bytes after the JSON, but the tensors have {place}. Set "
            "`binary_data_size` of each binary tensor."
        )


def _num_elements(tensor: InputTensor) -> int:
    count = math.prod(tensor.shape)
    if count > MAX_INPUTS:
        raise InputRejected(
            f"The tensor {tensor.name!r} has {count} texts; at most {MAX_INPUTS} are allowed. "
            "Split the request."
        )
    return count


def _flat(data: Sequence[Any], name: str, depth: int) -> Iterator[str]:
    """Yield the texts of a list that is nested at most as deep as the tensor has dimensions."""
    for item in data:
        if isinstance(item, str):
            yield item
        elif isinstance(item, list) and depth > 1:
            yield from _flat(item, name, depth - 1)
        else:
            raise InputRejected(
                f"The tensor {name!r} has data that is not a text: expected a list of texts, "
                "nested at most as deep as the shape. Send texts."
            )


def _slice(binary: bytes, start: int, size: int, name: str) -> bytes:
    part = binary[start : start + size]
    if len(part) != size:
        raise InputRejected(
            f"The tensor {name!r} has a `binary_data_size` of {size}, but only {len(part)} bytes "
            "are left in the body. Send all bytes of the tensor."
        )
    return part


def _unpacked(data: bytes, name: str) -> list[str]:
    texts: list[str] = []
    place = 0
    while place < len(data) and len(texts) <= MAX_INPUTS:
        start = place + _BYTES_OF_LENGTH
        end = start + int.from_bytes(data[place:start], "little")
        if start > len(data) or end > len(data):
            raise InputRejected(
                f"The text {len(texts)} of the tensor {name!r} ends after the tensor: expected "
                "its length in 4 bytes, little-endian, and as many bytes. Encode the tensor again."
            )
        try:
            texts.append(data[start:end].decode())
        except UnicodeDecodeError as error:
            raise InputRejected(
                f"The text {len(texts)} of the tensor {name!r} is not valid UTF-8 at byte "
                f"{error.start}. Encode it as UTF-8."
            ) from error
        place = end
    return texts


def _packed(text: bytes) -> bytes:
    return len(text).to_bytes(_BYTES_OF_LENGTH, "little") + text
