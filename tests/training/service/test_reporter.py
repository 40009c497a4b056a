import json
from pathlib import Path

from training.service.protocol.worker import EVENTS, WARNINGS
from training.service.reporter import JobReporter


def test_warnings_are_read_once_and_not_at_every_step(tmp_path: Path) -> None:
    (tmp_path / WARNINGS).write_text('["rows repeat"]')
    reporter = JobReporter(tmp_path)
    (tmp_path / WARNINGS).write_text("not read again")
    reporter.report_warnings(("rows repeat",))
    assert (tmp_path / WARNINGS).read_text() == "not read again"
    assert not (tmp_path / EVENTS).exists()
    for _ in range(3):
        reporter.report_warnings(("rows repeat", "texts are cut off"))
    assert json.loads((tmp_path / WARNINGS).read_text()) == ["rows repeat", "texts are cut off"]
    assert (tmp_path / EVENTS).read_text().count('"warnings"') == 2  # the kind and the member
