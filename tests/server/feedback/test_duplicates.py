"""Near-duplicates of texts."""

import random

import pytest

from server.feedback.duplicates import DuplicateIndex


def is_duplicate(one: str, other: str) -> bool:
    index = DuplicateIndex()
    assert index.add(one)
    return not index.add(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Where is my card?", "where  is my CARD"),
        ("Żółw 🐢 idzie!", "żółw idzie 🐢"),
        ("我的卡在哪里?", "我的卡在哪里"),
        ("🐢🐢🐢", "🐢🐢🐢"),
        (
            "The parcel that I ordered on Monday has still not arrived at my house.",
            "The parcel that I ordered on Monday has still not arrived at our house.",
        ),
        ("", ""),
    ],
)
def test_texts_with_nearly_the_same_characters_are_duplicates(one: str, other: str) -> None:
    assert is_duplicate(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Where is my card?", "My card was stolen yesterday."),
        ("Please cancel the order", "Please tell me a joke"),
        ("我的卡在哪里?", "请取消订单"),
        ("🐢", "🦊"),
        ("", "a"),
    ],
)
def test_other_texts_are_not(one: str, other: str) -> None:
    assert not is_duplicate(one, other)


def test_thousands_of_random_texts_are_all_new_and_found_again() -> None:
    chance = random.Random(1)
    words = ["".join(chance.choices("abcdefghijklmnop", k=6)) for _ in range(500)]
    texts = [" ".join(chance.choices(words, k=12)) for _ in range(2000)]
    index = DuplicateIndex()
    assert sum(index.add(text) for text in texts) == len(set(texts))
    assert not any(index.add(text.upper()) for text in texts)


def test_only_the_beginning_of_a_long_text_counts() -> None:
    start = " ".join(str(number) for number in range(1000))
    assert is_duplicate(start + "x" * 100_000, start + "y" * 200_000)
