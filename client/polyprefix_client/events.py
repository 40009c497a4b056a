"""Parses server-sent events."""

import json
from collections.abc import Mapping
from typing import Any

from polyprefix_client.trainings import TrainingEvent


class EventParser:
    """Turns the lines of a stream into events. Comments and unknown members are ignored."""

    def __init__(self) -> None:
        self.last_id = ""
        self._kind = ""
        self._data: list[str] = []

    def feed(self, line: str) -> TrainingEvent | None:
        """Take one line; return the event that it completes."""
        if line:
            name, _, value = line.partition(":")
            self._take(name, value.removeprefix(" "))
            return None
        event = self._event()
        self.restart()
        return event

    def headers(self) -> dict[str, str]:
        """Return the header with which a new stream continues after the last event."""
        return {"Last-Event-ID": self.last_id} if self.last_id else {}

    def restart(self) -> None:
        """Drop an event of which only a part has arrived."""
        self._kind, self._data = "", []

    def _take(self, name: str, value: str) -> None:
        match name:
            case "event":
                self._kind = value
            case "data":
                self._data.append(value)
            case "id":
                self.last_id = value

    def _event(self) -> TrainingEvent | None:
        if not self._data:
            return None
        members = json.loads("\n".join(self._data))
        return TrainingEvent(self._kind, _object(members), self.last_id)


def _object(members: Any) -> Mapping[str, Any]:
    return members if isinstance(members, dict) else {}
