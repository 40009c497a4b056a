"""Line charts, several next to each other, with one legend."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from website.pictures.drawing import SERIES, Drawing

_LEFT: Final = 52
_TOP: Final = 74
_BOTTOM: Final = 48
_GAP: Final = 24
_NUM_STEPS: Final = 4

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Axis:
    """The range of an axis, its marks, and how a number is written at them."""

    name: str
    low: float
    high: float
    written: Callable[[float], str]
    marks: Sequence[float] = ()

    def places(self) -> Sequence[float]:
        step = (self.high - self.low) / _NUM_STEPS
        return self.marks or [self.low + step * number for number in range(_NUM_STEPS + 1)]

    def share(self, value: float) -> float:
        """Return where a value is between the ends of the axis; values outside are at an end."""
        return min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))


@dataclass(frozen=True, slots=True)
class Chart:
    """A title, two axes, and the points of each line by its name."""

    title: str
    x: Axis
    y: Axis
    lines: Mapping[str, Points]


def draw_charts(
    charts: Sequence[Chart], *, width: int, height: int, title: str, description: str
) -> str:
    """Draw charts whose lines have the same names."""
    drawing = Drawing(width, height, title, description)
    names = list(charts[0].lines)
    _legend(drawing, names)
    room = width / len(charts)
    for place, chart in enumerate(charts):
        left, right = place * room + _LEFT, (place + 1) * room - _GAP
        _draw(drawing, chart, (left, _TOP, right, height - _BOTTOM))
    return drawing.svg()


def _legend(drawing: Drawing, names: Sequence[str]) -> None:
    x = float(_LEFT)
    for name, color in zip(names, SERIES, strict=False):
        drawing.line([(x, 22), (x + 30, 22)], color)
        drawing.text(x + 38, 27, name)
        x += 62 + 8.2 * len(name)


def _draw(drawing: Drawing, chart: Chart, box: tuple[float, float, float, float]) -> None:
    left, top, right, bottom = box

    def at(x: float, y: float) -> tuple[float, float]:
        across, up = chart.x.share(x), chart.y.share(y)
        return left + across * (right - left), bottom - up * (bottom - top)

    drawing.text(left, top - 16, chart.title, is_bold=True)
    for value in chart.y.places():
        _, y = at(chart.x.low, value)
        drawing.line([(left, y), (right, y)], "edge")
        drawing.text(left - 6, y + 4, chart.y.written(value), color="soft", size=12, anchor="end")
    for value in chart.x.places():
        x, _ = at(value, chart.y.low)
        drawing.text(x, bottom + 18, chart.x.written(value), color="soft", size=12, anchor="middle")
    middle = (left + right) / 2
    drawing.text(middle, bottom + 36, chart.x.name, color="soft", size=12, anchor="middle")
    for (_, points), color in zip(chart.lines.items(), SERIES, strict=False):
        drawing.line([at(x, y) for x, y in points], color)
