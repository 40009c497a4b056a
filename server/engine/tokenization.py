"""TokenizerPool: the texts of many requests at once, on threads of their own.

Each hop to a thread and back costs more than a short text does. So what arrives while a thread is
busy waits and then goes together, in one call of the tokenizer.
"""

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from prefixes import PrefixSpec
from prefixes.backbone import EncodeJob, TextEncoder
from prefixes.encoded import EncodedInput
from prefixes.errors import InputRejected
from prefixes.spec import TaskType
from prefixes.template import InputFields, TokenIds
from server.errors import EngineUnavailable, InferenceFailed, WrongTaskType

_SHORT: Final = 4_000
"""Characters of a request that goes with others: about a millisecond's work."""

_TOGETHER: Final = 64
"""Requests that go together at most, so that the first is not kept by the last."""

_NUM_LONG: Final = 2


@dataclass(frozen=True, slots=True, eq=False)
class Wanted:
    """A request's inputs, in its order, and their tasks: each with the places of its inputs.

    All tasks must have the `task_type`, if one is given.
    """

    fields: Sequence[InputFields]
    tasks: Sequence[tuple[PrefixSpec, Sequence[int]]]
    truncate: bool
    task_type: TaskType | None


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    wanted: Wanted
    reply: asyncio.Future[dict[int, EncodedInput]] = field(default_factory=asyncio.Future)

    def settle(self, result: dict[int, EncodedInput] | Exception) -> None:
        if self.reply.done():
            return  # the sender has gone
        if isinstance(result, Exception):
            self.reply.set_exception(result)
        else:
            self.reply.set_result(result)


class TokenizerPool:
    """Encodes requests: short ones together, long ones beside them. Belongs to the event loop."""

    def __init__(self, texts: TextEncoder) -> None:
        self._texts = texts
        self._short = ThreadPoolExecutor(1, thread_name_prefix="tokenize")
        # A request of megabytes must not keep others waiting.
        self._long = ThreadPoolExecutor(_NUM_LONG, thread_name_prefix="tokenize-long")
        self._waiting: list[_Waiting] = []
        self._is_busy = False

    @property
    def unknown_token(self) -> int | None:
        """The number of the token for what the vocabulary lacks; None where it lacks nothing."""
        return self._texts.unknown_token

    def close(self) -> None:
        """End the threads; what still waits is refused."""
        for threads in (self._short, self._long):
            threads.shutdown(wait=False, cancel_futures=True)

    async def encode(self, wanted: Wanted) -> dict[int, EncodedInput]:
        """Encode a request's inputs, by their places.

        Raises:
            InputRejected: when one does not fit its task; names its place among several.
            WrongTaskType: when a task has not the type that is wanted.
        """
        if _num_characters(wanted.fields, at_most=_SHORT) >= _SHORT:
            loop = asyncio.get_running_loop()
            result = await loop.run_in_executor(self._long, _caught, self._texts, wanted)
            if isinstance(result, Exception):
                raise result
            return result
        waiting = _Waiting(wanted)
        self._waiting.append(waiting)
        if not self._is_busy:
            self._is_busy = True
            # Once all requests that have come by now are there, too.
            asyncio.get_running_loop().call_soon(self._start)
        return await waiting.reply

    def _start(self) -> None:
        wanted = [one for one in self._waiting if not one.reply.done()]
        together, self._waiting = wanted[:_TOGETHER], wanted[_TOGETHER:]
        self._is_busy = bool(together)
        if not together:
            return
        try:
            encoding = asyncio.get_running_loop().run_in_executor(
                self._short, _encode_together, self._texts, [one.wanted for one in together]
            )
        except RuntimeError:
            self._is_busy = False
            _refuse(together)
        else:
            encoding.add_done_callback(partial(self._done, together))

    def _done(
        self,
        together: Sequence[_Waiting],
        encoding: asyncio.Future[list[dict[int, EncodedInput] | Exception]],
    ) -> None:
        if encoding.cancelled():
            _refuse(together)
        else:
            for one, result in zip(together, encoding.result(), strict=True):
                one.settle(result)
        self._start()


def _refuse(waiting: Sequence[_Waiting]) -> None:
    for one in waiting:
        one.settle(EngineUnavailable("The server is shutting down"))


def _num_characters(fields: Sequence[InputFields], *, at_most: int) -> int:
    """Count the characters of a request, as far as it matters."""
    count = 0
    for one in fields:
        count += _size(one)
        if count >= at_most:
            break
    return count


def _size(fields: InputFields) -> int:
    if isinstance(fields, TokenIds):
        return len(fields.ids)
    values = fields.values() if isinstance(fields, Mapping) else fields
    return sum(len(one) if isinstance(one, str) else sum(map(len, one)) for one in values)


def _encode_together(
    texts: TextEncoder, all_wanted: Sequence[Wanted]
) -> list[dict[int, EncodedInput] | Exception]:
    """Encode requests with one call of the tokenizer; what is wrong with one is its own result."""
    results: list[dict[int, EncodedInput] | Exception | None] = [_refusal(w) for w in all_wanted]
    accepted = [w for w, refusal in zip(all_wanted, results, strict=True) if refusal is None]
    try:
        encoded = iter(texts.encode_together([job for w in accepted for job in _jobs(w)]))
        return [
            _placed(wanted, [next(encoded) for _ in wanted.tasks]) if refusal is None else refusal
            for wanted, refusal in zip(all_wanted, results, strict=True)
        ]
    except BaseException:  # noqa: BLE001 - whatever it is, neighbours must get answers
        return [_caught(texts, wanted) for wanted in all_wanted]


def _encode_one(texts: TextEncoder, wanted: Wanted) -> dict[int, EncodedInput]:
    refusal = _refusal(wanted)
    result = refusal or _placed(wanted, texts.encode_together(_jobs(wanted)))
    if isinstance(result, Exception):
        raise result
    return result


def _caught(texts: TextEncoder, wanted: Wanted) -> dict[int, EncodedInput] | Exception:
    try:
        return _encode_one(texts, wanted)
    except Exception as error:  # noqa: BLE001 - as above; the request's own task raises it
        return error
    except BaseException as error:  # noqa: BLE001 - a panic in the tokenizer's Rust is no Exception
        return InferenceFailed(f"The tokenizer failed on this input: {error}")


def _refusal(wanted: Wanted) -> WrongTaskType | None:
    for spec, places in wanted.tasks:
        if wanted.task_type not in {None, spec.task_type}:
            return WrongTaskType(
                f"input[{places[0]}]: its task has the type {spec.task_type}, asked was for "
                f"{wanted.task_type}",
                place=places[0],
                task_type=spec.task_type,
            )
    return None


def _jobs(wanted: Wanted) -> list[EncodeJob]:
    return [
        EncodeJob(spec, [wanted.fields[place] for place in places], truncate=wanted.truncate)
        for spec, places in wanted.tasks
    ]


def _placed(
    wanted: Wanted, encoded: Sequence[list[EncodedInput] | InputRejected]
) -> dict[int, EncodedInput] | InputRejected:
    """Put what was encoded at its places; or give the first error, which names its place."""
    placed: dict[int, EncodedInput] = {}
    for (_, places), inputs in zip(wanted.tasks, encoded, strict=True):
        if isinstance(inputs, InputRejected):
            return _naming_place(inputs, places, len(wanted.fields))
        placed.update(zip(places, inputs, strict=True))
    return placed


def _naming_place(error: InputRejected, places: Sequence[int], num_inputs: int) -> InputRejected:
    if num_inputs == 1 or error.index is None:
        return error
    return type(error)(f"input[{places[error.index]}]: {error}")
