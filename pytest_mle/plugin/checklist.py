"""The plugin object of an active run: from validated specs to reports and the exit code."""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import signal
import tempfile
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from pytest_mle.checks.catalogue import BUILT_IN, built_in_check
from pytest_mle.checks.declaration import declaration_of
from pytest_mle.engine.bind import Binding, Surroundings
from pytest_mle.engine.prediction_cache import PredictionCache
from pytest_mle.engine.run import failed_result, run_item, verdict_before_running
from pytest_mle.engine.store import InputStore, Readers
from pytest_mle.errors import CollectedSpecError, InputError, MleError, SpecError, closest
from pytest_mle.inputs.entries import check_entry
from pytest_mle.plugin import fixtures
from pytest_mle.plugin.check_fixtures import fixture_module
from pytest_mle.plugin.exclusive import turn
from pytest_mle.plugin.execution import AROUND, RESULT, announce, explanation, forget_run, is_exclusive, result_of
from pytest_mle.plugin.nodes import PLANNED, SPEC, SpecFile, all_markers, needs_check
from pytest_mle.plugin.progress import TerminalProgress
from pytest_mle.plugin.result_book import Node, ResultBook, under_node_name
from pytest_mle.plugin.run_reports import RunReports
from pytest_mle.plugin.settings import Settings, read_settings
from pytest_mle.plugin.told_once import ToldOnce
from pytest_mle.records.clock import SystemClock
from pytest_mle.records.result import ItemResult, result_to_json
from pytest_mle.records.verdict import Verdict
from pytest_mle.reports.files import prepare_folder
from pytest_mle.spec.load import load_spec
from pytest_mle.spec.planned import is_check_of_checklist, planned_result

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence
    from types import FrameType

    from pytest_mle.records.check import CheckDeclaration
    from pytest_mle.reports.run_report import RunReport
    from pytest_mle.spec.model import PlannedItem, Spec

T = TypeVar("T")
ALONE = pytest.StashKey["Callable[[], object]"]()
JUDGED_LATER = "judged by the controller after all results"


class Checklist:
    """Runs the specs of ``--mle-spec``; one object a process (the controller and each xdist worker have their own)."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = tuple(paths)
        self._begin = time.monotonic()
        self._started = datetime.now(UTC)
        self._cleanup = contextlib.ExitStack()
        self._collected: set[Path] = set()
        self._lock: Path | None = None
        self._usage_problem: str | None = None

    # Start of the run

    def pytest_configure(self, config: pytest.Config) -> None:
        """Validate the specs; a wrong one ends the run here, with exit code 4."""
        self.config = config
        self.settings: Settings = read_settings(config)
        self._third_party = {
            name: check for checks in config.hook.pytest_mle_checks() for name, check in checks.items()
        }
        self.is_worker = hasattr(config, "workerinput")
        folder = self.settings.report_folder
        if not self.is_worker and folder is not None:
            self._usage(lambda: prepare_folder(folder))
        self.specs = self._usage(self._load_all)
        self.book = ResultBook(self.specs.values())
        self.reports = RunReports(self.settings, self.book, config.rootpath, self._started)
        for spec in self.specs.values():
            for name, description in all_markers(spec).items():
                config.addinivalue_line("markers", f"{name}: {description}")
        named = {str(item.check) for spec in self.specs.values() for item in spec.items if needs_check(item)}
        known = sorted({*BUILT_IN, *self._third_party})
        config.pluginmanager.register(fixture_module(known, named, self.find_check), "mle-checks")
        config.pluginmanager.register(fixtures, "mle-fixtures")
        # While a check runs, pytest captures what is written to standard error.
        self._stderr = os.dup(2)
        # Specs, collected items and results live to the end: the garbage collector need not walk them again and again.
        gc.freeze()
        config.add_cleanup(gc.unfreeze)
        self._cleanup.callback(os.close, self._stderr)
        self._end_cleanly_on_sigterm()

    def pytest_unconfigure(self) -> None:
        """Give back what the run has taken of its process."""
        self._cleanup.close()

    def _load_all(self) -> dict[Path, Spec]:
        specs: dict[Path, Spec] = {}
        errors: list[SpecError] = []
        for path in self._paths:
            try:
                specs[path] = load_spec(
                    path,
                    overrides=self.settings.overrides,
                    environment=os.environ,
                    find_check=self.find_check,
                    known_checks=[*BUILT_IN, *self._third_party],
                )
                errors += self._wrong_inputs(specs[path])
            except SpecError as error:
                errors.append(error)
        if errors:
            raise CollectedSpecError(errors)
        return specs

    def _wrong_inputs(self, spec: Spec) -> Iterator[SpecError]:
        hooks = self._format_hooks()
        for section, entries in spec.inputs.items():
            formats = hooks.get(section, {})
            for entry in entries.values():
                try:
                    check_entry(section, entry.name, entry.options, entry.location, formats)
                except InputError as error:
                    yield SpecError(error.message, error.location)

    def _format_hooks(self) -> dict[str, dict[str, Any]]:
        """Return the readers that other packages add, by section and format."""
        hook = self.config.hook
        found = {
            "datasets": hook.pytest_mle_dataset_formats(),
            "models": hook.pytest_mle_model_loaders(),
            "training_logs": hook.pytest_mle_training_log_readers(),
        }
        return {
            section: {name: one for added in all_added for name, one in added.items()}
            for section, all_added in found.items()
        }

    @staticmethod
    def _usage(action: Callable[[], T]) -> T:
        try:
            return action()
        except MleError as error:
            raise pytest.UsageError(str(error)) from error

    def find_check(self, name: str) -> CheckDeclaration | None:
        """Return the declaration of a built-in or third-party check."""
        if name in self._third_party:
            return declaration_of(self._third_party[name], name)
        return built_in_check(name)

    def _end_cleanly_on_sigterm(self) -> None:
        """Treat SIGTERM (a CI job that is cancelled) like Ctrl-C, so that reports say what did not run."""
        if threading.current_thread() is threading.main_thread() and not self.is_worker:

            def stop(_signal: int, _frame: FrameType | None) -> None:
                # Once is enough: a second one must not cut off the writing of the reports.
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                raise KeyboardInterrupt("SIGTERM")

            self._cleanup.callback(signal.signal, signal.SIGTERM, signal.signal(signal.SIGTERM, stop))

    def pytest_sessionstart(self) -> None:
        """Open what all items share."""
        reporter = None if self.is_worker else self.config.pluginmanager.get_plugin("terminalreporter")
        self.progress = TerminalProgress(reporter)
        self.told_once = ToldOnce(reporter)
        cache = PredictionCache(self.settings.cache_folder)
        readers = Readers(**self._format_hooks())
        clock = SystemClock()
        self.around = {
            path: Surroundings(
                spec=spec,
                store=InputStore(spec, self.settings.trust, cache, readers),
                clock=clock,
                progress=self.progress,
                results=lambda spec=spec: self.book.judged_sources(spec),  # type: ignore[misc]
            )
            for path, spec in self.specs.items()
        }

    # Collection

    def pytest_collect_file(self, file_path: Path, parent: pytest.Collector) -> pytest.Module | None:
        """Collect a spec that was named; other YAML files are none of ours."""
        spec = self.specs.get(file_path)
        if spec is None:
            return None
        self._collected.add(file_path)
        outside = self.config.rootpath not in file_path.parents
        # pytest gives files outside the rootdir an empty node id.
        keywords: dict[str, Any] = {"nodeid": file_path.as_posix()} if outside else {}
        return SpecFile.from_parent(parent, path=file_path, spec=spec, run=self.run, **keywords)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Put checks of time and memory behind the others, and items that judge other items last of all."""
        for item in items:
            if PLANNED in item.stash:
                item.stash[AROUND] = self.around[Path(item.stash[SPEC].path)]
        problems = [*self._never_collected(), *self._unknown_checks(items)]
        if problems and self.is_worker:
            # The controller, which collects nothing itself, ends the run.
            self.config.workeroutput["mle_problems"] = problems  # type: ignore[attr-defined]
            items.clear()
        elif problems:
            self._refuse(problems)
        items.sort(key=self._turn_of)

    def _refuse(self, problems: Sequence[str]) -> None:
        self._usage_problem = "\n".join(problems)
        raise pytest.UsageError(self._usage_problem)

    def _never_collected(self) -> Iterator[str]:
        """Yield the specs that pytest was told to ignore: named and not run would be a hole in the checklist."""
        for path in self._paths:
            if path not in self._collected:
                yield (
                    f"{path}: named by --mle-spec, but pytest ignores it (--ignore, norecursedirs, collect_ignore). "
                    "Take it out of one of them."
                )

    def _turn_of(self, item: pytest.Item) -> int:
        planned = item.stash.get(PLANNED, None)
        if planned is None:
            return 0
        return 2 if planned.is_derived else int(self._is_exclusive(planned))

    def _is_exclusive(self, planned: PlannedItem) -> bool:
        check = self.find_check(planned.check) if planned.check and needs_check(planned) else None
        return check is not None and check.is_exclusive

    def _unknown_checks(self, items: Sequence[pytest.Item]) -> Iterator[str]:
        """Yield the checks that are neither built in nor a fixture of the project."""
        problems: dict[str, str] = {}
        for item in items:
            planned = item.stash.get(PLANNED, None)
            if planned is None or not needs_check(planned) or self.find_check(str(planned.check)) is not None:
                continue
            known = getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", None)
            if known is not None and planned.check not in known and not is_check_of_checklist(planned):
                problems.setdefault(str(planned.location), str(planned.check))
        for place, name in problems.items():
            hint = closest(name, [*BUILT_IN, *self._third_party])
            yield f"{place}: check {name!r} is neither built in nor a fixture of this project. {hint}"

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Note what is about to run."""
        if not self._is_distributed():
            self.book.select(_node(item) for item in session.items if PLANNED in item.stash)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: Sequence[str]) -> None:
        """Note what the workers are about to run."""
        self.book.select(self.reports.nodes_of(ids))

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Give the workers of xdist the lock by which checks of time and memory run alone."""
        if self._lock is None:
            folder = tempfile.TemporaryDirectory(prefix="pytest-mle-", ignore_cleanup_errors=True)
            self._lock = Path(self._cleanup.enter_context(folder)) / "exclusive.lock"
        node.workerinput["mle_lock"] = str(self._lock)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take over what a worker found wrong after its collection."""
        problems = getattr(node, "workeroutput", {}).get("mle_problems")
        if problems:
            self._usage_problem = "\n".join(problems)
            self.book.select_all()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self) -> Generator[None, Any, Any]:
        """Run the items; end with exit code 4 where workers found the spec to be wrong."""
        gc.freeze()
        outcome = yield
        if self._usage_problem is not None:
            self._refuse([self._usage_problem])
        return outcome

    def _is_distributed(self) -> bool:
        return (
            not self.is_worker
            and self.config.getoption("dist", "no") != "no"
            and bool(self.config.getoption("tx", None))
        )

    # Items

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Let checks of time and memory run alone, also among xdist workers."""
        lock = Path(self.config.workerinput["mle_lock"]) if self.is_worker else None  # type: ignore[attr-defined]
        planned = item.stash.get(PLANNED, None)
        with turn(lock) as alone:
            item.stash[ALONE] = alone
            if planned is not None:
                self.progress.start(planned.name)
            try:
                return (yield)
            finally:
                self.progress.finish()

    def run(self, planned: PlannedItem, request: pytest.FixtureRequest, **provided: Any) -> None:
        """Run one item; this is the body of its pytest function."""
        spec: Spec = request.node.stash[SPEC]
        if planned.is_derived and needs_check(planned):
            if self.is_worker:
                pytest.skip(JUDGED_LATER)
            if not self.book.sources_selected(spec):
                request.node.stash[RESULT] = planned_result(
                    planned, spec, Verdict.NOT_SELECTED, "its sources were deselected"
                )
                pytest.skip("not selected, because items that it judges were not")
        built_in = self.find_check(str(planned.check)) if planned.check else None
        measure = provided.get(str(planned.check))
        if is_exclusive(measure):
            request.node.stash[ALONE]()
        on_hang = functools.partial(self._save_hang, request.node)
        result = result_of(planned, request, measure, built_in, on_hang, self._stderr)
        result = under_node_name(result, request.node.name)
        request.node.stash[RESULT] = result
        announce(result)

    def _save_hang(self, item: pytest.Item, result: ItemResult) -> None:
        """Save what is known before a process with a hanging check is ended."""
        if not self.is_worker:
            result = under_node_name(result, item.name)
            self.book.put(item.stash[SPEC], result, item.nodeid, item.stash[PLANNED].name)
            self.reports.write(self.reports.build(1, (f"{result.name}: {result.reasons[0]}",)))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
        """Put the result on the test report as plain JSON, so that it crosses process boundaries."""
        report: Any = yield
        planned = item.stash.get(PLANNED, None)
        if planned is None:
            return report
        result = self._result_of_phase(item, planned, call)
        if result is not None:
            item.stash[RESULT] = result
            report.mle = {
                "spec": str(item.stash[SPEC].path),
                "planned": planned.name,
                "node": item.nodeid,
                "verdict": result.verdict.value,
                "result": result_to_json(result),
            }
            if call.excinfo is not None and result.verdict.is_red:
                # A skip or an exit inside a check is not what pytest takes it for, and a traceback shows our code.
                report.outcome = "failed"
                report.longrepr = explanation(result)
        if call.when == "teardown":
            forget_run(item)
        return report

    def _result_of_phase(
        self, item: pytest.Item, planned: PlannedItem, call: pytest.CallInfo[None]
    ) -> ItemResult | None:
        known = item.stash.get(RESULT, None)
        if call.when == "call" and known is not None:
            return known
        if call.excinfo is None:
            # A call phase without a result and without an exception never happened: no green from silence.
            return None
        if planned.is_derived and self.is_worker and JUDGED_LATER in str(call.excinfo.value):
            return None
        error = call.excinfo.value
        base = under_node_name(planned_result(planned, item.stash[SPEC], Verdict.ERROR), item.name)
        if isinstance(error, pytest.skip.Exception):
            reason = (
                f"skipped by the project: {error}. A skip shows nothing; use `not_applicable: <reason>` in the spec"
            )
            return failed_result(base, SpecError(reason, planned.location))
        if type(error).__name__ == "FixtureLookupError":
            if getattr(error, "argname", None) == planned.check and is_check_of_checklist(planned):
                owed = f"the check {planned.check} does not exist yet; a fixture of that name would serve"
                return replace(base, verdict=Verdict.PENDING, reasons=(owed,))
            return failed_result(base, MleError(_missing_fixture(error)))
        if call.when == "teardown" and known is not None:
            reason = f"{type(error).__name__} after the measurement: {error}"
            return replace(known, verdict=Verdict.ERROR, reasons=(reason, *known.reasons))
        return failed_result(base, error)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: Any) -> None:
        """Collect results; under xdist this runs in the controller."""
        if self.is_worker:
            return
        if "result" in (getattr(report, "mle", None) or {}):
            self.book.add(report.mle)
            # The terminal keeps every report to the end of the run, which need not hold each result once more.
            self.reports.note(report.mle.pop("result"))
        elif report.failed and report.when not in ("setup", "call", "teardown"):
            for node in self.reports.nodes_of([report.nodeid]):
                self.book.crashed(node, f"the process that ran it died: {report.longrepr}")

    def pytest_report_teststatus(self, report: Any) -> tuple[str, str, tuple[str, dict[str, bool]]] | None:
        """Show verdicts instead of pytest's words."""
        found = getattr(report, "mle", None)
        if found is None or (report.when == "teardown" and report.passed):
            return None
        category, letter, colour = SHOWN[Verdict(found["verdict"])]
        return category, letter, (found["verdict"], {colour: True})

    # End of the run

    @pytest.hookimpl(tryfirst=True)  # before xdist waits for its workers: a cancelled CI job has seconds left
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Judge derived items, write the reports, and let the gate decide the exit code."""
        if self.is_worker or not self.settings.is_run:
            return
        if int(exitstatus) == int(pytest.ExitCode.USAGE_ERROR):
            self.book.select_all()
        gc.collect()  # first: what the tests left behind shall be found, and not be frozen
        gc.freeze()
        self.judge_derived()
        problems = self._problems(int(exitstatus))
        report = self.reports.build(int(exitstatus), problems)
        if not report.gate.is_green and int(exitstatus) in (
            int(pytest.ExitCode.OK),
            int(pytest.ExitCode.NO_TESTS_COLLECTED),
        ):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        try:
            self.reports.write(replace(report, exit_code=int(session.exitstatus)))
        except MleError as error:
            self.reports.failure = str(error)
            if int(session.exitstatus) == int(pytest.ExitCode.OK):
                session.exitstatus = pytest.ExitCode.TESTS_FAILED
        if self.settings.logs_to_mlflow:
            self._log_to_mlflow(session, report, int(exitstatus))
        if self._usage_problem is None and int(exitstatus) != int(pytest.ExitCode.INTERNAL_ERROR):
            self.told_once.hide()

    def _log_to_mlflow(self, session: pytest.Session, report: RunReport, exit_code: int) -> None:
        """Log results to MLflow once the reports are written; a failure closes the run and loses nothing."""
        if exit_code not in (int(pytest.ExitCode.OK), int(pytest.ExitCode.TESTS_FAILED)):
            self.reports.not_logged = ENDED.get(exit_code, f"the run was ended with exit code {exit_code}")
            return
        try:
            self.reports.log_to_mlflow(replace(report, exit_code=int(session.exitstatus)))
        except MleError as error:
            self.reports.not_logged = str(error)
            if int(session.exitstatus) == int(pytest.ExitCode.OK):
                session.exitstatus = pytest.ExitCode.TESTS_FAILED
                with contextlib.suppress(MleError):  # told above
                    self.reports.write(replace(report, exit_code=int(session.exitstatus)))

    def _problems(self, exit_code: int) -> tuple[str, ...]:
        if self._usage_problem is not None:
            return (self._usage_problem,)
        known = {0, 1, int(pytest.ExitCode.NO_TESTS_COLLECTED)}
        if exit_code in known:
            return ()
        return (ENDED.get(exit_code, f"the run was ended with exit code {exit_code}"),)

    def judge_derived(self) -> None:
        """Judge the derived items that no process could judge while workers were running."""
        for path, spec in self.specs.items():
            for item in spec.items:
                if (
                    not item.is_derived
                    or self.book.has_result(spec, item)
                    or not self.book.is_selected(spec, item.name)
                ):
                    continue
                if not self._is_distributed():
                    continue
                if not self.book.sources_selected(spec):
                    self.book.put(spec, planned_result(item, spec, Verdict.NOT_SELECTED, "its sources were deselected"))
                    continue
                result = verdict_before_running(item, spec)
                check = self.find_check(str(item.check))
                if result is None and check is not None:
                    result = run_item(item, check, Binding(item, self.around[path]))
                if result is not None:
                    self.book.put(spec, result)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Print what a person needs to know."""
        self.told_once.restore()
        if self.is_worker or not self.settings.is_run or self._usage_problem is not None:
            return
        for text, colour in self.reports.summary(terminalreporter._tw.fullwidth):  # noqa: SLF001  no public width
            terminalreporter.write_line(text, **({colour: True} if colour else {}))


def _missing_fixture(error: BaseException) -> str:
    missing = str(getattr(error, "msg", None) or f"fixture {getattr(error, 'argname', '?')!r} not found")
    # Not public, so that another pytest may have none; the message then says less.
    by = [one.func for one in getattr(error, "fixturestack", ()) if hasattr(getattr(one, "func", None), "__code__")]
    if not by:
        return missing
    return f"{missing}: {by[-1].__name__} asks for it ({by[-1].__code__.co_filename}:{by[-1].__code__.co_firstlineno})"


def _node(item: pytest.Item) -> Node:
    return Node(str(item.stash[SPEC].path), item.stash[PLANNED].name, item.nodeid, item.name)


ENDED = {
    int(pytest.ExitCode.INTERRUPTED): "the run was interrupted",
    int(pytest.ExitCode.INTERNAL_ERROR): "the run ended with an internal error of pytest or of one of its plugins",
    int(pytest.ExitCode.USAGE_ERROR): "the run could not be started as it was asked for",
}

SHOWN = {
    Verdict.PASS: ("passed", ".", "green"),
    Verdict.WARNING: ("passed", "W", "yellow"),
    Verdict.PENDING: ("pending", "P", "yellow"),
    Verdict.INCONCLUSIVE: ("inconclusive", "I", "yellow"),
    Verdict.FAIL: ("failed", "F", "red"),
    Verdict.ERROR: ("error", "E", "red"),
    Verdict.WAIVED: ("waived", "w", "yellow"),
    Verdict.NOT_APPLICABLE: ("not applicable", "n", "yellow"),
    Verdict.NOT_SELECTED: ("not selected", "d", "yellow"),
}
