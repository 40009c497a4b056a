"""The example requests of each route in the OpenAPI document."""

from typing import Any, Final

CLASSIFY: Final[dict[str, Any]] = {
    "one text": {"value": {"model": "examples/sst2", "input": "A quiet film that stays with you."}},
    "a pair": {
        "value": {
            "model": "acme/entailment:live",
            "input": {"text": "A man plays a guitar.", "text_pair": "Somebody makes music."},
        }
    },
    "a list over several tasks": {
        "value": {
            "input": [
                {"model": "examples/sst2", "text": "It wastes two hours."},
                {"model": "examples/trec", "text": "Who wrote Faust?"},
                {"model": "examples/ag-news@1", "text": "Shares fell on Tuesday."},
            ],
            "top_k": 2,
        }
    },
}

TOKEN_CLASSIFICATION: Final[dict[str, Any]] = {
    "one text": {"value": {"model": "acme/names", "input": "Ada Lovelace was born in London."}},
    "single tokens": {
        "value": {
            "model": "acme/names",
            "input": ["Ada Lovelace was born in London.", "Charles Babbage too."],
            "aggregation_strategy": "none",
        }
    },
}

QUESTION_ANSWERING: Final[dict[str, Any]] = {
    "the best answer": {
        "value": {
            "model": "acme/faq",
            "input": {"question": "Who wrote Faust?", "context": "Faust is a play by Goethe."},
        }
    },
    "the best three": {
        "value": {
            "model": "acme/faq",
            "input": {"question": "Who wrote Faust?", "context": "Faust is a play by Goethe."},
            "top_k": 3,
        }
    },
}

MULTIPLE_CHOICE: Final[dict[str, Any]] = {
    "two choices": {
        "value": {
            "model": "acme/causes",
            "input": {
                "premise": "The ground was wet.",
                "choices": ["It had rained.", "The sun was shining."],
            },
        }
    }
}

PREDICT: Final[dict[str, Any]] = {
    "tasks of several types": {
        "value": {
            "input": [
                {"model": "examples/sst2", "text": "It wastes two hours."},
                {"model": "acme/names", "text": "Ada Lovelace was born in London."},
                {
                    "model": "acme/faq",
                    "question": "Who wrote Faust?",
                    "context": "Faust is a play by Goethe.",
                },
            ]
        }
    }
}

EMBEDDINGS: Final[dict[str, Any]] = {
    "one text": {"value": {"model": "acme/search", "input": "How do I return a parcel?"}},
    "a list, as base64": {
        "value": {
            "model": "acme/search",
            "input": ["How do I return a parcel?", "Opening hours"],
            "encoding_format": "base64",
        }
    },
}
