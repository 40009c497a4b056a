"""Made-up inputs: neutral sentences for any template, used in place of real texts."""

from itertools import count, islice
from typing import Any, Final

from prefixes.template import CHOICES, InputTemplate

_SENTENCES: Final = (
    "The library opens at nine in the morning.",
    "Maria moved from Lisbon to Oslo in 2019.",
    "Where does the night train to Vienna stop?",
    "I am not sure that this was a good idea.",
    "The parcel arrived two days late, but nothing was broken!",
    "Please send me the invoice for 3 chairs by Friday.",
    "What a wonderful evening: thank you all for coming.",
    "The company Northwind sold 1,250 bicycles last year.",
    "He could not find his keys, so he waited outside.",
    "How do I change the password of my account?",
    "Der Zug nach Hamburg fährt heute von Gleis 7.",
    "Le musée est fermé le mardi.",
    "¿Cuánto cuesta una entrada para mañana?",
    "Сегодня на улице холодно.",
    "今天的天气很好。",
    "القطة نائمة على الكرسي.",
    "आज बाज़ार बंद है।",
    "See you at 6 pm 🙂",
)
_MAX_SENTENCES: Final = 4
"""Maximum number of sentences in a text; the texts of a task differ in length."""


def made_up_inputs(template: InputTemplate, number: int) -> list[dict[str, Any]]:
    """Fill the fields of a template with sentences; equal templates get equal sentences."""
    texts = map(_text, count())
    return [
        {
            name: tuple(islice(texts, 2)) if name == CHOICES else next(texts)
            for name in template.fields
        }
        for _ in range(number)
    ]


def _text(number: int) -> str:
    """Join a few sentences. Texts repeat only after a few hundred numbers."""
    turn, first = divmod(number, len(_SENTENCES))
    length = 1 + (number + turn) % _MAX_SENTENCES
    places = (first + i * (1 + turn) for i in range(length))
    return " ".join(_SENTENCES[place % len(_SENTENCES)] for place in places)
