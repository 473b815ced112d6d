"""The app: engine, keys, screens, and what all places ask of it."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import functools
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

from textual import events
from textual.app import App
from textual.driver import Driver
from textual.screen import Screen
from textual.worker import Worker, WorkerCancelled, WorkerFailed, get_current_worker

from engine.errors import HoldfastError
from engine.model.job import Change, Job, JobStatus
from engine.model.secret import Secret
from tui import bridge, clipboard, frame, haste, keys, theme_files, theme_loader
from tui.actions import ACTIONS, Action, key_names
from tui.batches import Batches
from tui.colourless import filters_of
from tui.dialogs.base import Dialog
from tui.dialogs.confirm import Sentence
from tui.opening import Opening
from tui.panes.base import View
from tui.preferences import Preferences, read_preferences
from tui.screen import LOW, MainScreen
from tui.start import is_remote
from tui.terminal import ConsoleDriver
from tui.typed import Handled, Typed
from tui.widgets.prompt import Prompt

if TYPE_CHECKING:
    from engine.service import Engine
    from tui.panes.source_look import FirstLook
    from tui.picture.standing import Standing

Answer = TypeVar("Answer")
Result = TypeVar("Result")

LOCAL_PACE_S, REMOTE_PACE_S = 0.5, 1.0
"""So often what changes is read and drawn at most, here and over a line."""
_TWICE_S = 2.0
"""Two times ctrl+c within this leave the console."""
_log = logging.getLogger("holdfast.console")
_MESSAGE_S = 8.0
"""So long a message stands before the newest job may take its row."""
_SUBMITTED_S = 2.0
"""So long the message that a job was begun."""
_LOOK_AT_FILES_S = 2.0
"""Between two looks at whether a theme or the preferences changed; nothing is drawn where they did not."""


class ConsoleApp(App[int]):
    """Wiring alone: what is shown lives in the panes. The engine is open as long as the app runs; whoever made it closes it."""

    ENABLE_COMMAND_PALETTE = False
    BINDINGS = []  # noqa: RUF012 -- Textual's own keys are not ours
    VERTICAL_BREAKPOINTS = [(0, "-low"), (frame.LOW_BELOW, "-high")]  # noqa: RUF012 -- Textual's own way; a low terminal has room for the list alone
    CSS = (
        """
    Input { background: $background; border: none; padding: 0; height: 1; }
    """
        + LOW
    )

    def __init__(
        self,
        engine: Engine,
        preferences: Preferences,
        *,
        is_read_only: bool = False,
        driver_class: type[Driver] | None = None,
        environment: Mapping[str, str] | None = None,
        is_guiding: bool = False,
    ) -> None:
        super().__init__(driver_class=driver_class)
        self.engine = engine
        self.preferences = preferences
        self.is_read_only = is_read_only
        self.environment = environment or {}
        self.is_frozen = False
        self.is_guiding = is_guiding
        """Whether an empty home opens with the way to its first backup."""
        self.mistakes: Sequence[str] = ()
        """In console.toml and in themes, one sentence each."""
        # Before the style sheet is read for the first time: it would be read again for another theme.
        self.set_reactive(ConsoleApp.theme, self._wanted_theme())
        self._filters = filters_of(self._filters, is_native=self.native_ansi_color)
        self.stylesheet.set_variables(self.get_css_variables())
        self.main = MainScreen()
        self.opening = Opening(self)
        self._typed = Typed(self)
        self._told_at = -_MESSAGE_S
        self._interrupted_at = -_TWICE_S
        self._jobs: list[Job] = []
        self.batches = Batches(self)
        self.overrule: tuple[str, bool] = ("", False)
        """Theme, and whether ASCII alone, as the command line says it in place of the file."""
        self.ended_by: HoldfastError | None = None
        """What left no way on."""
        self._trouble = ""
        self._is_stale = False
        """Whether something changed under a dialog."""
        self._pace_s = REMOTE_PACE_S if is_remote(self.environment) else LOCAL_PACE_S

    def now(self) -> datetime.datetime:
        """The engine's clock."""
        return self.engine.now()

    # Life.

    def begin_with(self, look: FirstLook, standing: Standing | None) -> None:
        """What was read, and drawn, already; before it runs."""
        self._jobs = list(look.jobs)
        self.opening.begin_with(look, standing)

    def on_mount(self) -> None:
        """Sets keys and theme, and begins to follow the catalog."""
        keys.follow(self.key_of)
        self._typed.opens()
        self._give_keys()
        self.opening.hold()
        self.push_screen(self.main)
        self.run_worker(bridge.background(self, self._look_at_jobs()), name="jobs", exit_on_error=False)
        self.run_worker(
            bridge.follow(self, self._pace_s, self.opening.mark), name="follow", exit_on_error=False
        )
        self.set_timer(60 - self.now().second, self._minute)
        self.set_interval(_LOOK_AT_FILES_S, self._look_at_themes)

    async def _settle(self) -> None:
        """The first rows are seen, and what was typed meanwhile is done: now what else the engine can do is loaded, before a key asks for it.
        A home where nothing is defined yet opens with the way to its first backup."""
        haste.end()
        self._tell_mistakes()
        await asyncio.to_thread(self.engine.complete)
        if self.is_guiding and not self.is_read_only:
            self.run_guarded(self._guide(), name="guide")

    async def _guide(self) -> None:
        is_looking = len(self.main.pane.views) > 1 or self.screen is not self.main
        if not is_looking and not (await self.engine.sources() or await self.engine.storages()):
            await self.main.do_guide_open()

    @property
    def is_ascii(self) -> bool:
        """Whether nothing but ASCII may be sent to the terminal."""
        return self.preferences.is_ascii

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Of themes that are not ours: the topmost row looks like all others."""
        return {"title-foreground": "ansi_default", "title-background": "ansi_default"}

    def _give_keys(self) -> None:
        self.set_keymap({action: ",".join(given) for action, given in self.preferences.keys.items()})

    def _wanted_theme(self) -> str:
        """Reads all themes; the name of the one that is wanted, or of the usual one."""
        home = self.engine.home.directory
        self._themes_stamp = theme_files.stamp(home)
        loaded = theme_loader.load(home)
        for theme in loaded.themes.values():
            self.register_theme(theme)
        name, mistakes = loaded.choose(self.preferences.theme, self.environment)
        self.mistakes = [*self.preferences.mistakes, *mistakes]
        return name

    def _tell_mistakes(self) -> None:
        if self.mistakes:
            self.call_after_refresh(self.tell, self.mistakes[0], "warning")

    def _look_at_themes(self) -> None:
        """Reads themes and preferences again where a file changed; what is wrong in them is told, and the default stands."""
        home = self.engine.home.directory
        if theme_files.stamp(home) != self._themes_stamp:
            self.preferences = read_preferences(home).overruled(*self.overrule)
            self._give_keys()
            self.theme = self._wanted_theme()
            self._tell_mistakes()
            self.redraw()
            self.main.show_hints()

    def _minute(self) -> None:
        if self.is_frozen:
            self._title()
        else:
            self.run_worker(self.changed(Change.STATE), name="minute", exit_on_error=False)
        self.set_timer(60 - self.now().second, self._minute)

    def shown(self, view: View) -> None:
        """A view came into sight: it is read, gets the keys, and the frame says so."""
        self.load(view)
        view.focus_default()
        self.call_after_refresh(self.show_frame)

    def show_frame(self) -> None:
        """Tabs, hints, title as they are now."""
        self.main.show_tabs()
        self.main.show_hints()
        self._title()

    def on_descendant_focus(self) -> None:
        """Other keys work now. Told also while it ends, and then there is no screen."""
        if self.main.is_mounted and self.screen_stack[-1:] == [self.main]:
            self.main.show_hints()

    # Keys.

    async def on_event(self, event: events.Event) -> None:
        """Keys, and what is pasted, one at a time."""
        if not isinstance(event, events.Key | events.Paste) or event.is_forwarded:
            await super().on_event(event)
        elif self.screen_stack and not self._typed.must_wait(
            event
        ):  # one that waited may come while the app ends
            await super().on_event(event)
            self._typed.follow()

    def on_handled(self, event: Handled) -> None:
        """All widgets had the key."""
        event.stop()
        self._typed.handled(event.look)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """An action is over."""
        if event.worker.is_finished:
            self.ended(event.worker)

    # Data.

    def load(self, view: View) -> None:
        """Reads a view again, in the background; one that is being read already is begun anew."""
        self.begins(self.run_latest(f"load {id(view)}", functools.partial(self._read, view)))

    async def _read(self, view: View) -> None:
        await bridge.guarded(self, view.load())
        if view is self.main.pane.view:
            self.show_frame()
        self.opening.read()
        if self._typed.is_at_rest:
            self.rests()

    def rests(self) -> None:
        """Nothing that was typed is on its way."""
        if self.opening.ends():
            self.call_after_refresh(self.run_worker, self._settle, name="settle", exit_on_error=False)

    async def loaded(self, view: View) -> None:
        """Returns when a view that came into sight was read, or could not be."""
        group = f"load {id(view)}"
        while reading := [each for each in self.workers if each.group == group and not each.is_finished]:
            for each in reading:
                with contextlib.suppress(WorkerCancelled, WorkerFailed):
                    await each.wait()

    async def changed(self, change: Change) -> None:
        """Something changed in the catalog; returns when it was read. Under a dialog nothing is: it would be sent, and not be seen."""
        if self.is_frozen:
            return
        self._is_stale = self.screen is not self.main
        if self._is_stale:
            return
        await bridge.background(self, self._look_at_jobs())  # first: views say what runs
        view = self.main.pane.view
        if view.wants(change):
            await self._read_again(view)

    async def read_again(self) -> None:
        """Everything that is seen, because a person asked for it."""
        await bridge.background(self, self._look_at_jobs())
        self.main.pane.view.renew()

    def freeze(self, *, is_frozen: bool) -> None:
        """Stops live updates, or lets them go on; the title says which."""
        self.is_frozen = is_frozen
        self._title()

    def uncovered(self) -> None:
        """The dialog over the main screen is gone: what changed meanwhile is read."""
        if self._is_stale:
            self.run_worker(self.changed(Change.STATE), name="uncovered", exit_on_error=False)

    async def _read_again(self, view: View) -> None:
        """Reads a view because time went by; an error is no dialog then."""
        worker = self.run_latest(f"load {id(view)}", functools.partial(self._read_quietly, view))
        with contextlib.suppress(WorkerCancelled, WorkerFailed):
            await worker.wait()

    async def _read_quietly(self, view: View) -> None:
        await bridge.background(self, view.load())
        if view is self.main.pane.view:
            self.show_frame()

    def begin_anew(self) -> None:
        """A person does something else: what was told long ago is about nothing that is seen any more."""
        if self._monotonic() - self._told_at >= _MESSAGE_S and not self._trouble:
            self.main.forget_message()

    def troubled(self, message: str) -> None:
        """What cannot be read, in the row of messages, as long as it is so."""
        self._trouble = message
        self.tell(message, "risk")

    def end_by(self, error: HoldfastError) -> None:
        """Ends, for nothing that would be done from here on could be relied on. Whoever runs the app tells the error. Jobs go on."""
        self.ended_by = error
        self.exit(return_code=error.exit_code)

    def well(self) -> None:
        """What could not be read is read again."""
        if self._trouble:
            self._trouble = ""
            self.tell("all can be read again")

    async def _look_at_jobs(self) -> None:
        jobs = await self.engine.jobs(status=JobStatus.RUNNING)
        self._jobs = list(jobs)
        await self.batches.look(self._jobs)
        self._title()
        if self._monotonic() - self._told_at >= _MESSAGE_S:
            self.main.show_jobs(self._jobs, self.now())
        await self.main.follow_log(self._jobs)
        if self.main.drawer is not None:
            await self.main.drawer.refresh_jobs()

    @property
    def running_jobs(self) -> Sequence[Job]:
        """Those that run, as they were a moment ago."""
        return self._jobs

    def _title(self) -> None:
        if not self.main.is_mounted:
            return
        right = frame.title_right(
            self.now(), len(self._jobs), is_read_only=self.is_read_only, is_frozen=self.is_frozen
        )
        self.main.show_title(self.preferences.name, right)

    def _monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    # What places ask for.

    def why_off(self, action: Action) -> str:
        """Why an action is off in the whole console."""
        if self.is_read_only and action.is_changing:
            return "this console is read-only"
        return ""

    def key_of(self, action: Action) -> str:
        """The first key that does it now, as a person calls it."""
        return self.preferences.key_of(action)

    def get_key_display_of(self, key: str) -> str:
        """`question_mark` is `?`."""
        return key_names.shown(key)

    def run_guarded(self, work: Coroutine[Any, Any, None], *, name: str) -> None:
        """Runs an action in the background; its errors become sentences."""
        self.begins(self.run_worker(bridge.guarded(self, work), name=name, exit_on_error=False))

    def begins(self, worker: Worker[Any]) -> None:
        """A key began this: the next one waits for it a while."""
        self._typed.begins(worker)

    def ended(self, worker: Worker[Any]) -> None:
        """It is over."""
        self._typed.rests(worker)

    def run_latest(self, group: str, work: Callable[[], Coroutine[Any, Any, None]]) -> Worker[None]:
        """Runs something in the background in place of the one before of that group. `work` is a function, for a coroutine that was made already
        and never began would be thrown away unawaited."""
        return self.run_worker(cast("Any", work), group=group, exclusive=True, exit_on_error=False)

    async def ask(self, dialog: Dialog[Answer]) -> Answer | None:
        """Opens a dialog, and waits for its answer. Only within an action."""
        answer = self.push_screen(dialog, wait_for_dismiss=True)
        dialog.call_after_refresh(self._typed.rests, get_current_worker())
        try:
            return await answer
        finally:
            self._typed.goes_on()

    async def ask_line(
        self, question: str, value: str = "", changed: Callable[[str], None] | None = None
    ) -> str | None:
        """Asks for a line at the bottom of the screen; None for escape. `changed` is told of each letter, and of the old value for escape."""
        screen: Screen[Any] = self.screen
        focused = self.focused
        prompt = Prompt(question, value, changed)
        await screen.mount(prompt)
        self._typed.rests()
        try:
            return await prompt.answer
        finally:
            self._typed.goes_on()
            await prompt.remove()
            if focused is not None and focused.is_attached:
                screen.set_focus(
                    focused
                )  # at once: another line may be asked for next, and goes back to the same place

    def tell(self, text: str, tone: str = "", *, is_brief: bool = False) -> None:
        """Says something in the row of messages; what is brief soon makes room for the job that it is about."""
        self._told_at = self._monotonic() - (_MESSAGE_S - _SUBMITTED_S if is_brief else 0.0)
        if self.main.is_mounted:
            self.main.show_message(text, tone)

    def show_error(self, message: str, hint: str) -> None:
        """Shows what went wrong, until it is read; below stands no longer that it is being done."""
        self.tell(message, "risk")
        self.push_screen(Sentence(message, hint))

    def copy(self, text: str, *, is_secret: bool = False) -> None:
        """Copies into the clipboard of the terminal, through tmux and screen; what is secret is not said."""
        sequence = clipboard.sequence(text, self.environment)
        if not sequence:
            self.tell("that is too long for a terminal's clipboard")
        elif self._driver is not None:
            self._driver.write(sequence)
            self.tell("copied" if is_secret else f"copied: {text}")

    def redraw(self) -> None:
        """Sets the terminal's modes again, and sends every cell."""
        driver = self._driver
        driver.assert_again() if isinstance(driver, ConsoleDriver) else self.refresh(layout=True)

    def toggle_mouse(self) -> None:
        """The mouse works in the console, or selects text in the terminal."""
        if not isinstance(self._driver, ConsoleDriver):
            self.tell("the mouse is the terminal's")
            return
        self._driver.take_mouse(is_wanted=not self._driver.has_mouse)
        works = f"the mouse works here; {keys.of('view.mouse')} leaves it to the terminal"
        self.tell(works if self._driver.has_mouse else "the mouse is the terminal's")

    def action_help_quit(self) -> None:
        """Ctrl+C, by Textual's binding: closes a dialog; pressed twice it leaves."""
        now = self._monotonic()
        if isinstance(self.screen, Dialog):
            self.screen.action_leave()
        elif now - self._interrupted_at < _TWICE_S:
            self.exit()
        else:
            self._interrupted_at = now
            self.tell(f"ctrl+c again leaves the console, as {keys.of('app.quit')} does; jobs go on")

    def _fatal_error(self) -> None:
        """In place of Textual's, which prints a traceback with all values: the log has it, the terminal gets a sentence."""
        _log.critical("the console ended by a mistake of its own", exc_info=self._exception)
        self.panic(
            "holdfast: the console ended by a mistake of its own; the log in the home's folder `logs` has it whole; jobs go on"
        )

    async def submit(self, verb: str, request: object, said: str) -> Job:
        """Hands a job to a worker, and says so. Raises: what the engine raises."""
        job = await self.engine.submit(verb, request)
        self.tell(f"{said}: job {job.job_id}", is_brief=True)
        await self._look_at_jobs()
        return job

    async def finish(self, verb: str, request: object, title: str, kind: type[Result]) -> Result | None:
        """Hands a job to a worker, and waits for its end: its result, or None where nobody waited, or where it failed, which is shown."""
        from tui.dialogs.waiting import Waiting

        job = await self.submit(verb, request, title)
        over = await self.ask(Waiting(self, job, title))
        if over is None:
            return None
        if over.error:
            self.show_error(over.error, f"holdfast job log {over.job_id}")
            return None
        result = self.engine.result_of(over)
        return result if isinstance(result, kind) else None

    async def pass_guard(self, action_id: str) -> bool:
        """Asks for the guard's passphrase or code where there is a guard; whether it was passed. Raises: RefusedError for a wrong one."""
        from tui.dialogs.confirm import AskSecret

        state = await self.engine.guard()
        if not state.is_set:
            return True
        said = await self.ask(AskSecret(ACTIONS[action_id].title, "passphrase of the guard, or a code:"))
        if said is None:
            return False
        await self.engine.pass_guard(
            f"holdfast {next(iter(ACTIONS[action_id].verbs), action_id)}", Secret(said)
        )
        return True
