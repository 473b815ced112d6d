"""How far a job is: a bar on the terminal's standard error for a person, JSON lines on standard output for a script."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

from engine.cli.diagnostics import tell
from engine.cli.output import Output, shape, wants_colour
from engine.events import Event, Kept, Progress, StepBegan, Warned
from engine.model import text
from engine.model.spans import span

BAR_INTERVAL_S: Final = 0.1
JSON_INTERVAL_S: Final = 0.5
RATE_WINDOW_S: Final = 10.0
"""The rate is that of the last so many seconds."""
_BAR_COLUMNS: Final = 20
_CLEAR: Final = "\r\x1b[K"


class Rate:
    """How much is done a second, lately."""

    def __init__(self) -> None:
        self._marks: deque[tuple[float, int]] = deque()

    def mark(self, now: float, done: int) -> None:
        """At `now` so much was done."""
        if self._marks and done < self._marks[-1][1]:  # another step began
            self._marks.clear()
        self._marks.append((now, done))
        while len(self._marks) > 2 and now - self._marks[0][0] > RATE_WINDOW_S:
            self._marks.popleft()

    @property
    def per_second(self) -> float:
        """0 where nothing is known yet."""
        if len(self._marks) < 2:
            return 0.0
        (begin, before), (end, after) = self._marks[0], self._marks[-1]
        return (after - before) / (end - begin) if end > begin else 0.0


def bar_line(progress: Progress, bytes_s: float, files_s: float, *, width: int) -> str:
    """One line for a terminal of that width: how far, how fast, how long still."""
    parts = []
    share = left = None
    if progress.total_bytes:
        share = progress.done_bytes / progress.total_bytes
        left = (progress.total_bytes - progress.done_bytes) / bytes_s if bytes_s > 0 else None
    elif progress.total_files:
        share = progress.done_files / progress.total_files
        left = (progress.total_files - progress.done_files) / files_s if files_s > 0 else None
    if share is not None:
        share = min(1.0, max(0.0, share))
        filled = round(share * _BAR_COLUMNS)
        parts.append(f"[{'#' * filled}{'.' * (_BAR_COLUMNS - filled)}] {share:4.0%}")
    parts.append(text.size(progress.done_bytes))
    if progress.done_files:
        parts.append(f"{progress.done_files} files")
    if bytes_s > 0:
        parts.append(f"{text.size(bytes_s)}/s")
    if left is not None:
        parts.append(f"{span(max(0.0, left))} left")
    if progress.current:
        parts.append(text.printable(progress.current))
    return text.shortened("  ".join(parts), width - 1)


class Bar:
    """A line on standard error that is drawn over and over, and cleared at the end."""

    def __init__(self, clock: Callable[[], float], environment: Mapping[str, str]) -> None:
        self._clock = clock
        self._has_colour = wants_colour(environment)
        self._bytes, self._files = Rate(), Rate()
        self._drawn_at = -1.0
        self._is_shown = False

    def show(self, progress: Progress) -> None:
        """Draws, unless it was drawn a moment ago."""
        now = self._clock()
        if now - self._drawn_at < BAR_INTERVAL_S:
            return
        self._drawn_at = now
        self._bytes.mark(now, progress.done_bytes)
        self._files.mark(now, progress.done_files)
        line = bar_line(progress, self._bytes.per_second, self._files.per_second, width=_width())
        _draw(_CLEAR + (f"\x1b[36m{line}\x1b[0m" if self._has_colour else line))
        self._is_shown = True

    def clear(self) -> None:
        """Takes the line away."""
        if self._is_shown:
            _draw(_CLEAR)
            self._is_shown = False


class Listener:
    """An `emit` for a verb that a person or a script started."""

    def __init__(self, output: Output, clock: Callable[[], float], environment: Mapping[str, str]) -> None:
        self._output = output
        self._clock = clock
        is_drawn = not output.is_json and os.isatty(2) and environment.get("TERM") != "dumb"
        self._bar = Bar(clock, environment) if is_drawn else None
        self._sent_at = -JSON_INTERVAL_S
        self._step = ""

    def emit(self, event: Event) -> None:
        """Takes an event; never raises."""
        match event:
            case StepBegan():
                self._step = event.step
                self._send(Progress(event.step))
            case Progress():
                self._progress(event)
            case Kept():
                self._tell_kept(event)
            case Warned() if not self._output.is_json:
                self.clear()
                tell(f"warning: {text.printable(event.message)}")

    def clear(self) -> None:
        """Takes the bar off the terminal, before something else is written there."""
        if self._bar is not None:
            self._bar.clear()

    def _tell_kept(self, kept: Kept) -> None:
        """Told at once: a person is to use it while the job waits."""
        self.clear()
        self._output.line(f"{kept.status}: backup {kept.backup_id}; evidence: {text.printable(kept.report)}")
        self._output.line(
            f"kept until {text.instant(kept.until)}; Ctrl-C, or the job's cancel, removes it. To look into it, on its host:"
        )
        for each in kept.connect:
            self._output.line(f"  {text.printable(each)}")
        self._output.progress({"step": "keep", **shape(kept)})
        self._output.flush()

    def _progress(self, progress: Progress) -> None:
        if self._bar is not None:
            self._bar.show(progress)
        elif self._output.is_json and self._clock() - self._sent_at >= JSON_INTERVAL_S:
            self._send(progress)

    def _send(self, progress: Progress) -> None:
        if self._output.is_json:
            self._sent_at = self._clock()
            self._output.progress({**dataclasses.asdict(progress), "step": progress.step or self._step})


def _width() -> int:
    try:
        return os.get_terminal_size(2).columns or 80
    except OSError:
        return 80


def _draw(line: str) -> None:
    with contextlib.suppress(OSError):
        os.write(2, line.encode("utf-8", "backslashreplace"))
