"""The media types of requests and responses."""

from typing import Final

JSON: Final = "application/json"
PROBLEM: Final = "application/problem+json"
PREFIX_FILE: Final = "application/octet-stream"
BYTES: Final = "application/octet-stream"
FORM: Final = "multipart/form-data"
EVENTS: Final = "text/event-stream"
PNG: Final = "image/png"
CSV: Final = "text/csv"
JSONL: Final = "application/jsonl"
PARQUET: Final = "application/vnd.apache.parquet"
NDJSON: Final = "application/x-ndjson"
