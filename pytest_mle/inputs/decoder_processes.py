"""Decode images in processes of their own: a decoder that crashes, hangs or is killed costs one file, not the run.

Each thread that reads takes an idle process or starts one, up to the number of processors; the others wait. The file
and its pixels go through memory that belongs to both processes and to no file system, so nothing is left behind however
either side ends. A process whose answer is not known to be complete is never used again.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import math
import mmap
import os
import signal
import socket
import subprocess
import sys
import threading
import warnings
from collections import deque
from typing import TYPE_CHECKING, Any

from pytest_mle.errors import InputError, Location
from pytest_mle.inputs import decoder_worker
from pytest_mle.inputs.decoder_worker import DECODERS, MESSAGE_BYTES, RefusedImageError, pixels_offset

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# The slowest sound image of 100 million pixels takes a few seconds.
TIME_LIMIT_S = 60.0
# A process of which nobody can hear any more ends itself, this much later.
_ORPHAN_MARGIN_S = 10
# A process that closed the connection should be gone; how it went is worth so much waiting.
_PATIENCE_S = 5.0
_SMALLEST_BYTES = 1 << 20
# What a process may keep between images; larger images give the rest back.
_KEPT_BYTES = 64 << 20
# One thread each. glibc would return the memory of every large image to the system, only to get it back page by page
# for the next one: a quarter of the time of a PNG file of a megapixel.
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "OPENCV_FOR_THREADS_NUM": "1",
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(_KEPT_BYTES),
}
_NO_ANSWER = "the decoder's answer for this file makes no sense"


class _UnavailableError(Exception):
    """Decoding in another process cannot work here, whatever the file."""


class _Process:
    """One decoding process, its connection and the memory it shares with this one."""

    def __init__(self) -> None:
        self._connection, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._number = 0
        descriptor = -1
        try:
            descriptor = os.memfd_create("pytest-mle-image")
            os.ftruncate(descriptor, _SMALLEST_BYTES)
            self._memory = mmap.mmap(descriptor, _SMALLEST_BYTES)
            self._popen = _start(theirs.fileno(), descriptor)
        except BaseException:
            self._connection.close()
            raise
        finally:
            theirs.close()
            if descriptor >= 0:
                os.close(descriptor)

    def wait_until_ready(self) -> None:
        self._connection.settimeout(TIME_LIMIT_S)
        try:
            answer = self._connection.recv(MESSAGE_BYTES)
        except OSError as error:
            raise _UnavailableError(f"the decoding process does not start: {error}") from error
        if not answer:
            raise _UnavailableError(f"the decoding process does not start: {self._how_it_ended()}")

    def is_alive(self) -> bool:
        return self._popen.poll() is None

    def decode(
        self, decoder: str, data: bytes, pixel_bytes: int, arguments: tuple[Any, ...], place: Location
    ) -> NDArray[np.uint8]:
        """Return a copy of the pixels; whatever is raised but a refusal, this process is not to be used again."""
        start = pixels_offset(len(data))
        needed = max(start + pixel_bytes, _SMALLEST_BYTES)
        if not needed <= len(self._memory) <= max(needed, _KEPT_BYTES):
            self._memory.resize(needed)
        self._memory[: len(data)] = data
        self._number += 1
        request = [self._number, len(self._memory), decoder, len(data), pixel_bytes, *arguments]
        try:
            self._connection.send(json.dumps(request).encode())
            answer = self._connection.recv(MESSAGE_BYTES)
        except TimeoutError as error:
            message = f"the decoder did not finish this file within {TIME_LIMIT_S:g} s"
            raise InputError(message, place) from error
        except OSError:
            answer = b""
        if not answer:
            raise InputError(f"the decoder crashed on this file ({self._how_it_ended()})", place)
        outcome, told = self._understood(answer, place)
        if outcome == "refused":
            raise RefusedImageError(told)
        if outcome == "unable":
            raise _UnavailableError(f"the decoding process lacks a library: {told}")
        if outcome == "failed":
            raise InputError(f"the decoder failed on this file: {told}", place)
        return self._pixels(start, pixel_bytes, told, place)

    def _understood(self, answer: bytes, place: Location) -> tuple[str, Any]:
        try:
            number, outcome, told = json.loads(answer)
        except (ValueError, TypeError) as error:
            raise InputError(_NO_ANSWER, place) from error
        if number != self._number or outcome not in {"decoded", "refused", "unable", "failed"}:
            raise InputError(_NO_ANSWER, place)
        return outcome, told

    def _pixels(self, start: int, pixel_bytes: int, shape: Any, place: Location) -> NDArray[np.uint8]:
        import numpy as np

        is_shape = isinstance(shape, list) and all(type(side) is int and side > 0 for side in shape)
        if not is_shape or len(shape) not in {2, 3} or (size := math.prod(shape)) > pixel_bytes:
            raise InputError(_NO_ANSWER, place)
        return np.frombuffer(self._memory, np.uint8, size, start).reshape(shape).copy()

    def _how_it_ended(self) -> str:
        try:
            code = self._popen.wait(timeout=_PATIENCE_S)
        except subprocess.TimeoutExpired:
            return "its process closed the connection"
        if code >= 0:
            return f"exit code {code}"
        try:
            return f"signal {signal.Signals(-code).name}"
        except ValueError:
            return f"signal {-code}"

    def end(self) -> None:
        self._popen.kill()
        self._popen.wait()
        self._release()

    def forget(self) -> None:
        """Let go of a process that is the parent's, not of this fork."""
        self._popen.returncode = 0
        self._release()

    def _release(self) -> None:
        self._connection.close()
        with contextlib.suppress(BufferError):  # an exception's traceback may still hold a view
            self._memory.close()


def _start(connection: int, memory: int) -> subprocess.Popen[bytes]:
    """Start Python anew on one file: no fork of a process with threads, and no import of the user's main module."""
    path = [entry for entry in sys.path if isinstance(entry, str)]
    limit = str(int(TIME_LIMIT_S) + _ORPHAN_MARGIN_S)
    return subprocess.Popen(  # noqa: S603  our own interpreter and file
        [sys.executable, "-I", decoder_worker.__file__, str(connection), str(memory), limit, json.dumps(path)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=(connection, memory),
        start_new_session=True,  # Ctrl-C in the terminal is for pytest
        env={**os.environ, **_ENVIRONMENT},
    )


def _share_of_processors() -> int:
    """Return how many processors are for this process, which may be one of several workers of pytest-xdist."""
    try:
        workers = max(1, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))
    except ValueError:
        workers = 1
    return max(1, (os.cpu_count() or 1) // workers)


class _Processes:
    """The decoding processes of this process."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew: what there is belongs to another process, of which this one is a fork."""
        for process in getattr(self, "all", ()):
            process.forget()
        self.all: set[_Process] = set()
        self.why_not: str | None = None
        self._idle: deque[_Process] = deque()
        self._permits = threading.BoundedSemaphore(_share_of_processors())

    def decode(self, *request: Any) -> NDArray[np.uint8]:
        with self._permits:
            process = self._idle_process() or self._new_process()
            try:
                image = process.decode(*request)
            except RefusedImageError:
                self._idle.append(process)
                raise
            except BaseException:  # also an interrupt: the answer to this request must not become that to the next
                self._end(process)
                raise
            self._idle.append(process)
            return image

    def _idle_process(self) -> _Process | None:
        while True:
            try:
                process = self._idle.pop()
            except IndexError:
                return None
            if process.is_alive():
                return process
            self._end(process)

    def _new_process(self) -> _Process:
        if not hasattr(os, "memfd_create"):
            raise _UnavailableError(f"there is no memory to share on {sys.platform}")
        try:
            process = _Process()
        except OSError as error:
            raise _UnavailableError(f"the decoding process does not start: {error}") from error
        self.all.add(process)
        try:
            process.wait_until_ready()
        except BaseException:
            self._end(process)
            raise
        return process

    def _end(self, process: _Process) -> None:
        self.all.discard(process)
        process.end()

    def end(self) -> None:
        self._idle.clear()
        for process in list(self.all):
            self._end(process)


_PROCESSES = _Processes()


def decode_apart(
    decoder: str, data: bytes, *, pixel_bytes: int, arguments: tuple[Any, ...], place: Location
) -> NDArray[np.uint8]:
    """Decode the bytes of an image file in another process; in this one, with a warning, if there can be none.

    Parameters
    ----------
    decoder
        Key of :data:`~pytest_mle.inputs.decoder_worker.DECODERS`, whose ``arguments`` follow.
    pixel_bytes
        The most that the pixels may take.

    Raises
    ------
    RefusedImageError
        The decoder says that the file is damaged, or not for it.
    InputError
        The decoder crashed, was killed, hung for :data:`TIME_LIMIT_S` or answered nonsense.
    """
    if _PROCESSES.why_not is None:
        try:
            return _PROCESSES.decode(decoder, data, pixel_bytes, arguments, place)
        except _UnavailableError as error:
            _PROCESSES.why_not = str(error)
            message = f"images are decoded {where_images_are_decoded()}; a decoder that crashes ends the run"
            warnings.warn(message, RuntimeWarning, stacklevel=2)
    return DECODERS[decoder](data, None, *arguments)


def where_images_are_decoded() -> str:
    """Return, for reports, whether a decoder that crashes takes the run with it, and why."""
    if _PROCESSES.why_not is None:
        return "in processes of their own"
    return f"in the process that runs pytest: {_PROCESSES.why_not}"


def end_decoding_processes() -> None:
    """End all decoding processes; the next image starts a new one."""
    _PROCESSES.end()


atexit.register(end_decoding_processes)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_PROCESSES.forget)
