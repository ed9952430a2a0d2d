"""A test report as JUnit XML, in the form the readers of GitLab, Jenkins and GitHub's actions share."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

from rastos.host import write_atomic

from .checks import Check, TestReport

# what XML 1.0 can't carry, not even as a reference (section 2.2)
UNFIT = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_xml(report: TestReport, *, at: datetime | None = None) -> str:
    """The document: one suite, one case for each check; `at` is when it was run."""
    failed = sum(not item.passed for item in report.checks)
    seconds = sum(item.seconds for item in report.checks)
    counts = {"tests": str(len(report.checks)), "failures": str(failed), "errors": "0", "time": f"{seconds:.2f}"}
    root = ElementTree.Element("testsuites", {"name": "rastos image test", **counts})
    when = (at or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%S")
    about = {"name": _fit(report.image.stem), "timestamp": when, "skipped": "0", **counts}
    suite = ElementTree.SubElement(root, "testsuite", about)
    for item in report.checks:
        _case(suite, report, item)
    if report.logs:
        ElementTree.SubElement(suite, "system-out").text = _fit("\n".join(f"kept: {path}" for path in report.logs))
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def write_junit(report: TestReport, path: Path) -> None:
    """Write it, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, junit_xml(report))


def _case(suite: ElementTree.Element, report: TestReport, item: Check) -> None:
    where = ".".join(word for word in (report.image.stem, item.machine, item.way) if word)
    case = ElementTree.SubElement(
        suite, "testcase", classname=_fit(where), name=_fit(item.name), time=f"{item.seconds:.2f}"
    )
    if item.passed:
        if item.detail:
            ElementTree.SubElement(case, "system-out").text = _fit(item.detail)
        return
    message = item.detail.splitlines()[0] if item.detail else "failed"
    ElementTree.SubElement(case, "failure", message=_fit(message)[:500], type="check").text = _fit(item.detail)


def _fit(text: str) -> str:
    return UNFIT.sub("\N{REPLACEMENT CHARACTER}", text)
