import asyncio
import threading
from collections.abc import Iterator, Sequence

import pytest

from prefixes import PrefixSpec
from prefixes.backbone import Backbone, EncodeJob, TextEncoder
from prefixes.encoded import EncodedInput
from prefixes.errors import InputRejected
from prefixes.template import InputTemplate
from server.engine.tokenization import TokenizerPool, Wanted
from server.errors import EngineUnavailable, InferenceFailed, WrongTaskType
from tests.factories import make_spec

pytestmark = pytest.mark.anyio


class Panic(BaseException):
    """As a panic of the tokenizers library comes to Python: no Exception."""


class SlowTexts(TextEncoder):
    """The backbone's tokenizer behind a gate, which tells how many jobs came in each call."""

    def __init__(self, texts: TextEncoder) -> None:
        self._real = texts
        self.gate = threading.Event()
        self.gate.set()
        self.calls: list[int] = []

    async def until_called(self, times: int) -> None:
        while len(self.calls) < times:  # noqa: ASYNC110 - it is a thread that calls
            await asyncio.sleep(0.001)

    def encode_together(
        self, jobs: Sequence[EncodeJob]
    ) -> list[list[EncodedInput] | InputRejected]:
        self.calls.append(len(jobs))
        self.gate.wait(30)
        for job in jobs:
            if ("the bug",) in job.inputs:
                raise RuntimeError("a bug")
            if ("the panic",) in job.inputs:
                raise Panic("in Rust")
        return self._real.encode_together(jobs)


@pytest.fixture
def texts(backbone: Backbone) -> SlowTexts:
    return SlowTexts(backbone.texts)


@pytest.fixture
def tokenizers(texts: SlowTexts) -> Iterator[TokenizerPool]:
    tokenizers = TokenizerPool(texts)
    yield tokenizers
    texts.gate.set()
    tokenizers.close()


@pytest.fixture
def spec(backbone: Backbone) -> PrefixSpec:
    return make_spec(backbone.fingerprint)


def wanted(spec: PrefixSpec, *texts: str) -> Wanted:
    fields = [(text,) for text in texts]
    return Wanted(fields, [(spec, range(len(texts)))], truncate=True, task_type=None)


async def results(*calls: asyncio.Task[dict[int, EncodedInput]]) -> list[object]:
    return list(await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 30))


async def test_requests_that_come_while_a_thread_is_busy_go_together(
    tokenizers: TokenizerPool, texts: SlowTexts, backbone: Backbone, spec: PrefixSpec
) -> None:
    texts.gate.clear()
    words = ["hello city", "a late train", "my card", "free prize"]
    first = asyncio.create_task(tokenizers.encode(wanted(spec, words[0])))
    await texts.until_called(1)
    others = [asyncio.create_task(tokenizers.encode(wanted(spec, word))) for word in words[1:]]
    await asyncio.sleep(0)
    texts.gate.set()
    found = await results(first, *others)
    assert texts.calls == [1, 3]
    expected = backbone.texts.encode(spec, [(word,) for word in words])
    assert found == [{0: one} for one in expected]


async def test_inputs_of_several_tasks_come_back_at_their_places(
    tokenizers: TokenizerPool, backbone: Backbone, spec: PrefixSpec
) -> None:
    cut = make_spec(backbone.fingerprint, max_length=4)
    fields = [("hello city",), ("a very late train",), ("my card",)]
    asked = Wanted(fields, [(cut, [1]), (spec, [2, 0])], truncate=True, task_type=None)
    found = await tokenizers.encode(asked)
    assert [found[place] for place in (2, 0)] == backbone.texts.encode(spec, [fields[2], fields[0]])
    assert [found[1]] == backbone.texts.encode(cut, [fields[1]])


async def test_what_is_wrong_with_one_request_is_heard_by_its_sender_alone(
    tokenizers: TokenizerPool, backbone: Backbone, spec: PrefixSpec
) -> None:
    pair = make_spec(backbone.fingerprint, input=InputTemplate(text="{a}", text_pair="{b}"))
    bad = Wanted([("x",), ("y", "z")], [(pair, [1, 0])], truncate=True, task_type=None)
    refused = Wanted([("x",)], [(spec, [0])], truncate=True, task_type="embedding")
    calls = [
        asyncio.create_task(tokenizers.encode(one))
        for one in (bad, wanted(spec, "hello"), refused, wanted(spec, "city", " "))
    ]
    first, second, third, fourth = await results(*calls)
    assert isinstance(first, InputRejected)
    assert str(first).startswith("input[0]: ")
    assert second == {0: backbone.texts.encode(spec, [("hello",)])[0]}
    assert isinstance(third, WrongTaskType)
    assert (third.place, third.task_type) == (0, "sequence_classification")
    assert isinstance(fourth, InputRejected)
    assert str(fourth).startswith("input[1]: ")


async def test_a_bug_in_one_request_does_not_reach_those_that_went_with_it(
    tokenizers: TokenizerPool, backbone: Backbone, spec: PrefixSpec
) -> None:
    calls = [
        asyncio.create_task(tokenizers.encode(wanted(spec, text)))
        for text in ("hello", "the bug", "city")
    ]
    first, second, third = await results(*calls)
    hello, city = backbone.texts.encode(spec, [("hello",), ("city",)])
    assert isinstance(second, RuntimeError)
    assert (first, third) == ({0: hello}, {0: city})


async def test_a_panic_of_the_tokenizer_fails_its_request_and_nothing_after_it(
    tokenizers: TokenizerPool, backbone: Backbone, spec: PrefixSpec
) -> None:
    calls = [
        asyncio.create_task(tokenizers.encode(wanted(spec, *some)))
        for some in (["hello"], ["the panic"], ["the panic", "long " * 1000])
    ]
    first, second, third = await results(*calls)
    (hello,) = backbone.texts.encode(spec, [("hello",)])
    assert first == {0: hello}
    assert isinstance(second, InferenceFailed)
    assert isinstance(third, InferenceFailed)
    later = asyncio.create_task(tokenizers.encode(wanted(spec, "hello")))
    assert await results(later) == [{0: hello}]


async def test_a_long_request_does_not_keep_short_ones_waiting(
    tokenizers: TokenizerPool, texts: SlowTexts, backbone: Backbone, spec: PrefixSpec
) -> None:
    texts.gate.clear()
    story = "a long story " * 1000
    long = asyncio.create_task(tokenizers.encode(wanted(spec, story)))
    await texts.until_called(1)
    short = asyncio.create_task(tokenizers.encode(wanted(spec, "hello")))
    await texts.until_called(2)  # although the long one is not done
    assert not long.done()
    texts.gate.set()
    expected = backbone.texts.encode(spec, [("hello",), (story,)])
    assert await results(short, long) == [{0: one} for one in expected]


async def test_a_sender_who_leaves_costs_the_tokenizer_nothing(
    tokenizers: TokenizerPool, texts: SlowTexts, spec: PrefixSpec
) -> None:
    texts.gate.clear()
    first = asyncio.create_task(tokenizers.encode(wanted(spec, "hello")))
    await texts.until_called(1)
    gone = asyncio.create_task(tokenizers.encode(wanted(spec, "city")))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    texts.gate.set()
    await results(first)
    assert (await results(asyncio.create_task(tokenizers.encode(wanted(spec, "card")))))[0]
    assert texts.calls == [1, 1]


async def test_who_waits_when_the_server_stops_is_told(
    tokenizers: TokenizerPool, texts: SlowTexts, spec: PrefixSpec
) -> None:
    texts.gate.clear()
    first = asyncio.create_task(tokenizers.encode(wanted(spec, "hello")))
    await texts.until_called(1)
    second = asyncio.create_task(tokenizers.encode(wanted(spec, "city")))
    await asyncio.sleep(0)
    tokenizers.close()
    texts.gate.set()
    answered, refused = await results(first, second)
    assert isinstance(answered, dict)
    assert isinstance(refused, EngineUnavailable)
