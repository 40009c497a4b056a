import asyncio
from collections.abc import Iterator

import pytest

from prefixes import PrefixSpec
from prefixes.backbone import Backbone, EncodeJob
from prefixes.errors import InputRejected
from prefixes.lengths import LengthOptions
from prefixes.template import InputTemplate
from server.engine.tokenization import JobResult, TokenizerPool
from server.errors import EngineUnavailable, InferenceFailed
from tests.factories import make_spec
from tests.server.doubles import GatedTextEncoder

pytestmark = pytest.mark.anyio

Call = asyncio.Task[list[JobResult]]


@pytest.fixture
def texts(backbone: Backbone) -> GatedTextEncoder:
    return GatedTextEncoder(backbone.texts)


@pytest.fixture
def tokenizers(texts: GatedTextEncoder) -> Iterator[TokenizerPool]:
    tokenizers = TokenizerPool(texts)
    yield tokenizers
    texts.gate.set()
    tokenizers.close()


@pytest.fixture
def spec(backbone: Backbone) -> PrefixSpec:
    return make_spec(backbone.fingerprint)


def job(spec: PrefixSpec, *texts: str) -> EncodeJob:
    return EncodeJob(spec, [(text,) for text in texts], LengthOptions())


def call(tokenizers: TokenizerPool, *jobs: EncodeJob, tenant: str | None = None) -> Call:
    return asyncio.create_task(tokenizers.encode(jobs, tenant=tenant))


async def results(*calls: Call) -> list[object]:
    return list(await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 30))


async def test_requests_that_arrive_while_a_thread_is_busy_go_together(
    tokenizers: TokenizerPool, texts: GatedTextEncoder, backbone: Backbone, spec: PrefixSpec
) -> None:
    texts.gate.clear()
    words = ["hello city", "a late train", "my card", "free prize"]
    first = call(tokenizers, job(spec, words[0]))
    await texts.until_called(1)
    others = [call(tokenizers, job(spec, word)) for word in words[1:]]
    await asyncio.sleep(0)
    texts.gate.set()
    found = await results(first, *others)
    assert texts.calls == [1, 3]
    expected = backbone.texts.encode(spec, [(word,) for word in words])
    assert found == [[[one]] for one in expected]


async def test_each_job_of_a_request_gets_its_own_result(
    tokenizers: TokenizerPool, backbone: Backbone, spec: PrefixSpec
) -> None:
    cut = make_spec(backbone.fingerprint, max_length=4)
    found = await tokenizers.encode([job(cut, "a very late train"), job(spec, "card", "city")])
    assert found == [
        backbone.texts.encode(cut, [("a very late train",)]),
        backbone.texts.encode(spec, [("card",), ("city",)]),
    ]


async def test_a_bad_input_fails_its_own_job_alone(
    tokenizers: TokenizerPool, backbone: Backbone, spec: PrefixSpec
) -> None:
    pair = make_spec(backbone.fingerprint, input=InputTemplate(text="{a}", text_pair="{b}"))
    calls = [
        call(tokenizers, job(pair, "x")),
        call(tokenizers, job(spec, "hello")),
        call(tokenizers, job(spec, "card"), job(spec, "city", " ")),
    ]
    first, second, third = await results(*calls)
    assert isinstance(first, list)
    assert [type(one) for one in first] == [InputRejected]
    assert second == [backbone.texts.encode(spec, [("hello",)])]
    assert isinstance(third, list)
    assert third[0] == backbone.texts.encode(spec, [("card",)])
    assert isinstance(third[1], InputRejected)
    assert third[1].index == 1


async def test_a_bug_in_one_request_does_not_reach_the_others_of_the_call(
    tokenizers: TokenizerPool,
    backbone: Backbone,
    spec: PrefixSpec,
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls = [call(tokenizers, job(spec, text)) for text in ("hello", "the bug", "city")]
    first, second, third = await results(*calls)
    hello, city = backbone.texts.encode(spec, [("hello",), ("city",)])
    assert isinstance(second, RuntimeError)
    assert (first, third) == ([[hello]], [[city]])
    assert "tokenizing 3 requests together failed" in caplog.text
    assert "RuntimeError: a bug" in caplog.text


async def test_a_panic_of_the_tokenizer_fails_its_request_and_nothing_after_it(
    tokenizers: TokenizerPool,
    backbone: Backbone,
    spec: PrefixSpec,
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls = [
        call(tokenizers, job(spec, *some))
        for some in (["hello"], ["the panic"], ["the panic", "long " * 1000])
    ]
    first, second, third = await results(*calls)
    (hello,) = backbone.texts.encode(spec, [("hello",)])
    assert first == [[hello]]
    assert isinstance(second, InferenceFailed)
    assert isinstance(third, InferenceFailed)
    assert "in Rust" not in str(second)
    panics = [one for one in caplog.records if "panicked" in one.getMessage()]
    assert [str(one.exc_info[1]) for one in panics if one.exc_info] == ["in Rust"] * 2
    assert await results(call(tokenizers, job(spec, "hello"))) == [[[hello]]]


async def test_a_long_request_does_not_delay_short_ones(
    tokenizers: TokenizerPool, texts: GatedTextEncoder, backbone: Backbone, spec: PrefixSpec
) -> None:
    texts.gate.clear()
    story = "a long story " * 1000
    long = call(tokenizers, job(spec, story))
    await texts.until_called(1)
    short = call(tokenizers, job(spec, "hello"))
    await texts.until_called(2)  # although the long one is not done
    assert not long.done()
    texts.gate.set()
    expected = backbone.texts.encode(spec, [("hello",), (story,)])
    assert await results(short, long) == [[[one]] for one in expected]


async def test_a_flood_of_one_tenant_delays_another_by_one_short_call(
    tokenizers: TokenizerPool, texts: GatedTextEncoder, spec: PrefixSpec
) -> None:
    texts.gate.clear()
    flood = [call(tokenizers, job(spec, "x" * 3_000), tenant="flood") for _ in range(20)]
    await texts.until_called(1)
    other = call(tokenizers, job(spec, "hello"), tenant="shop")
    await asyncio.sleep(0)
    texts.gate.set()
    await results(other)
    assert sum(one.done() for one in flood) <= 10  # the call that ran, and the one with `other`
    await results(*flood)
    assert max(texts.calls) <= 6  # at most 16,000 characters, and `other`


async def test_a_flood_of_long_requests_delays_another_tenant_by_one_of_them(
    tokenizers: TokenizerPool, texts: GatedTextEncoder, spec: PrefixSpec
) -> None:
    texts.gate.clear()
    flood = [call(tokenizers, job(spec, "x " * 3_000), tenant="flood") for _ in range(6)]
    await texts.until_called(2)
    other = call(tokenizers, job(spec, "y " * 3_000), tenant="shop")
    await asyncio.sleep(0)
    texts.gate.set()
    await results(other)
    assert sum(one.done() for one in flood) <= 4
    await results(*flood)


async def test_a_cancelled_request_is_never_tokenized(
    tokenizers: TokenizerPool, texts: GatedTextEncoder, spec: PrefixSpec
) -> None:
    texts.gate.clear()
    first = call(tokenizers, job(spec, "hello"))
    await texts.until_called(1)
    gone = call(tokenizers, job(spec, "city"))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    texts.gate.set()
    await results(first)
    assert (await results(call(tokenizers, job(spec, "card"))))[0]
    assert texts.calls == [1, 1]


async def test_requests_that_wait_when_the_server_stops_are_rejected(
    tokenizers: TokenizerPool, texts: GatedTextEncoder, spec: PrefixSpec
) -> None:
    texts.gate.clear()
    first = call(tokenizers, job(spec, "hello"))
    await texts.until_called(1)
    second = call(tokenizers, job(spec, "city"))
    await asyncio.sleep(0)
    tokenizers.close()
    texts.gate.set()
    answered, rejected = await results(first, second)
    assert isinstance(answered, list)
    assert isinstance(rejected, EngineUnavailable)
