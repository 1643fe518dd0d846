"""What a run of the levels found, as text, JSON, Markdown and HTML."""

from __future__ import annotations

import html
import json
import os
import shlex
from collections import Counter
from dataclasses import dataclass
from typing import Any

from rustorch_conformance.__main__ import LEVELS

OUTCOMES = ("passed", "failed", "expected", "skipped")
SERVED = ("native", "kernel", "composed", "missing")
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:70em;margin:2em auto;padding:0 1em}"
    "table{border-collapse:collapse}td,th{padding:.1em .8em;text-align:left;border-bottom:1px solid #8884}"
    ".failed,.missing{color:#c22;font-weight:bold}.expected{color:#a60}pre{white-space:pre-wrap;margin:.2em 0}"
)


@dataclass
class Report:
    """A device, the levels that were asked for, what each test found, and facts of the device."""

    device: str
    levels: tuple[str, ...]
    tests: list[dict[str, Any]]
    facts: dict[str, Any]

    @property
    def has_failed(self) -> bool:
        """Whether any test failed."""
        return any(test["outcome"] == "failed" for test in self.tests)

    @property
    def failures(self) -> list[dict[str, Any]]:
        """The tests that failed, each with the line that runs it again."""
        return [{**test, "reproduce": self._again(test)} for test in self.tests if test["outcome"] == "failed"]

    def _again(self, test: dict[str, Any]) -> str:
        set_ = [f"{name}={shlex.quote(text)}" for name, text in sorted(os.environ.items()) if self._is_of_us(name)]
        words = ["rustorch-conformance", "--device", self.device, "--level", test["level"], "--test", test["test"]]
        return " ".join([*set_, shlex.join(words)])

    def _is_of_us(self, name: str) -> bool:
        """Whether a variable is rustorch's, or the device's own."""
        own = self.device.partition(":")[0].upper()
        return name == own or name.startswith(("RUSTORCH_", f"{own}_"))

    def counts(self, level: str) -> dict[str, int]:
        """How many tests of a level passed, failed..."""
        found = Counter(test["outcome"] for test in self.tests if test["level"] == level)
        return {outcome: found[outcome] for outcome in OUTCOMES}

    def _ops(self) -> dict[str, str]:
        return dict(self.facts.get("ops", {}))

    def _outcomes_of(self, op: str) -> dict[str, str]:
        """The worst outcome of an op's tests, by level."""
        worst: dict[str, str] = {}
        for test in self.tests:
            if test["op"] == op:
                known = worst.get(test["level"])
                both = [outcome for outcome in (known, test["outcome"]) if outcome]
                worst[test["level"]] = min(both, key=("failed", "expected", "skipped", "passed").index)
        return worst

    def as_text(self) -> str:
        """For the terminal: levels, failures, and what serves the ops."""
        lines = []
        for test in self.failures:
            lines += [f"FAILED {test['level']} {test['test']}", _indented(test["message"])]
            lines += [f"    to reproduce: {test['reproduce']}", ""]
        served = self._ops()
        for how in SERVED:
            names = [op for op, by in served.items() if by == how]
            shown = f": {', '.join(names)}" if names and how in ("kernel", "missing") else ""
            lines.append(f"{len(names):5} ops {how}{shown}")
        for level in self.levels:
            counts = ", ".join(f"{count} {outcome}" for outcome, count in self.counts(level).items() if count)
            lines.append(f"{level} {LEVELS[level]:10} {counts or 'nothing to test'}")
        return "\n".join(lines)

    def as_json(self) -> str:
        """For programs."""
        levels = {level: {"name": LEVELS[level], **self.counts(level)} for level in self.levels}
        ops = {op: {"served_by": how, **self._outcomes_of(op)} for op, how in self._ops().items()}
        failures = [{key: test[key] for key in ("level", "test", "message", "reproduce")} for test in self.failures]
        facts = {key: value for key, value in self.facts.items() if key != "ops"}
        report = {"device": self.device, **facts, "levels": levels, "failures": failures, "ops": ops}
        return f"{json.dumps({**report, 'tests': self.tests}, indent=1)}\n"

    def _tables(self) -> list[tuple[str, list[str], list[list[str]]]]:
        """Levels and ops: title, head and rows of each."""
        levels = [[level, LEVELS[level], *map(str, self.counts(level).values())] for level in self.levels]
        ops = [
            [op, how, *(self._outcomes_of(op).get(level, "") for level in self.levels if level in ("L2", "L3", "L4"))]
            for op, how in self._ops().items()
        ]
        of_ops = [level for level in self.levels if level in ("L2", "L3", "L4")]
        return [
            ("Levels", ["level", "what", *OUTCOMES], levels),
            ("Ops", ["op", "served by", *of_ops], ops),
        ]

    def _title(self) -> str:
        versions = ", ".join(f"{key} {value}" for key, value in self.facts.items() if isinstance(value, str))
        return f"Conformance of {self.device}" + (f" ({versions})" if versions else "")

    def as_markdown(self) -> str:
        """For a README or an issue."""
        parts = [f"# {self._title()}", ""]
        levels, ops = (_markdown_table(*table) for table in self._tables())
        parts += [*levels, "## Failures" if self.failures else "No failures.", ""]
        for test in self.failures:
            parts += [f"### {test['level']} `{test['test']}`", "", "```text", test["message"], "```", ""]
            parts += ["```sh", test["reproduce"], "```", ""]
        return "\n".join([*parts, *ops])

    def as_html(self) -> str:
        """One page without anything beside it."""
        levels, ops = (_html_table(*table) for table in self._tables())
        failures = "".join(
            f"<h3>{test['level']} <code>{html.escape(test['test'])}</code></h3>"
            f"<pre>{html.escape(test['message'])}</pre><pre><code>{html.escape(test['reproduce'])}</code></pre>\n"
            for test in self.failures
        )
        title = html.escape(self._title())
        found = f"<h2>Failures</h2>\n{failures}" if failures else "<p>No failures.</p>\n"
        head = f'<meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
        body = f"<h1>{title}</h1>\n{levels}{found}{ops}"
        return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n{body}</body></html>\n'


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines()[:12])


def _markdown_table(title: str, head: list[str], rows: list[list[str]]) -> list[str]:
    lines = [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]
    return [f"## {title}", "", *lines, ""] if rows else []


def _html_table(title: str, head: list[str], rows: list[list[str]]) -> str:
    def cells(kind: str, row: list[str]) -> str:
        return "".join(f'<{kind} class="{html.escape(text)}">{html.escape(text)}</{kind}>' for text in row)

    lines = "".join(f"<tr>{cells('td', row)}</tr>\n" for row in rows)
    return f"<h2>{title}</h2>\n<table>\n<tr>{cells('th', head)}</tr>\n{lines}</table>\n" if rows else ""
