"""Tests of decoding in other processes: the same pixels, no crash of one file becomes that of the run, nothing is left."""

from __future__ import annotations

import json
import mmap
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from pytest_mle.errors import InputError, Location
from pytest_mle.inputs import decoder_processes, images
from pytest_mle.inputs.decoder_processes import decode_apart, end_decoding_processes, where_images_are_decoded
from pytest_mle.inputs.decoder_worker import DECODERS, RefusedImageError, serve
from pytest_mle.inputs.images import decode_rgb, decode_small_grey, read_image_size
from tests.support.planted_simplejpeg import marked, plant_simplejpeg

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """Begin and end without decoding processes, and with the belief that there can be some."""
    monkeypatch.setattr(decoder_processes._PROCESSES, "why_not", None)
    end_decoding_processes()
    yield
    end_decoding_processes()


@pytest.fixture
def planted(tmp_path, monkeypatch):
    """Let decoding processes find a simplejpeg that behaves badly on marked files; this process has the real one."""
    import simplejpeg  # noqa: F401

    plant_simplejpeg(tmp_path / "planted")
    monkeypatch.syspath_prepend(tmp_path / "planted")


def processes():
    """Return the process ids of the decoding processes."""
    return sorted(process._popen.pid for process in decoder_processes._PROCESSES.all)


def is_gone(pid, patience=10.0):
    """Wait until a process neither runs nor is a zombie."""
    end = time.monotonic() + patience
    while Path(f"/proc/{pid}").exists() and time.monotonic() < end:
        time.sleep(0.02)
    return not Path(f"/proc/{pid}").exists()


def here(decoder, data, *, pixel_bytes, arguments, place):
    """Decode in this process."""
    return DECODERS[decoder](data, None, *arguments)


@pytest.mark.parametrize("read", [decode_rgb, decode_small_grey])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".tiff", ".webp"])
@pytest.mark.parametrize("kind", ["colour", "grey", "16 bits", "large"])
def test_pixels_are_those_of_decoding_in_this_process(scene, encode, monkeypatch, read, suffix, kind):
    """Results do not depend on the process, for each format, bit by bit."""
    image = scene(3, 1400, 1000) if kind == "large" else scene(3, 331, 97)
    image = image[:, :, 1] if kind == "grey" else image
    data = encode(image.astype(np.uint16) * 201 if kind == "16 bits" and suffix in {".png", ".tiff"} else image, suffix)

    apart = read(data)
    read(encode(scene(4, 331, 97)))  # must not change the pixels that are out already

    assert len(processes()) == 1
    monkeypatch.setattr(images, "decode_apart", here)
    np.testing.assert_array_equal(apart, read(data))
    assert apart.flags.writeable


def test_memory_grows_with_the_image_and_is_given_back(scene, encode, monkeypatch):
    """Files and pixels of any size have room, and after a large image the memory shrinks again."""
    monkeypatch.setattr(decoder_processes, "_KEPT_BYTES", 4 << 20)
    sizes = []
    for number, (width, height, suffix) in enumerate(
        [(90, 60, ".png"), (2200, 1500, ".png"), (2200, 1500, ".jpg"), (90, 60, ".bmp"), (1200, 900, ".png")]
    ):
        image = scene(number, width, height)
        found = decode_rgb(encode(image, suffix))
        assert suffix == ".jpg" or (found == image).all()
        sizes.append(len(next(iter(decoder_processes._PROCESSES.all))._memory))

    assert sizes[0] == sizes[3] == 1 << 20
    assert min(sizes[1:3]) > 2200 * 1500 * 3
    assert len(processes()) == 1


CRASHES = {
    "SEGV": r"the decoder crashed on this file \(signal SIGSEGV\)",
    "ABRT": r"the decoder crashed on this file \(signal SIGABRT\)",
    "KILL": r"the decoder crashed on this file \(signal SIGKILL\)",
    "EXIT": r"the decoder crashed on this file \(exit code 3\)",
    "SHUT": r"the decoder crashed on this file \(its process closed the connection\)",
    "TEXT": "the decoder's answer for this file makes no sense",
    "LIST": "the decoder's answer for this file makes no sense",
    "ELSE": "the decoder's answer for this file makes no sense",
    "FULL": "the decoder failed on this file: MemoryError: no room",
    "BAD1": r"the decoder failed on this file: ValueError: decodes to \[5000, 5000, 3\]",
    "BAD2": r"the decoder failed on this file: ValueError: decodes to \[5, 5, 3\] float64",
    "HANG": r"the decoder did not finish this file within 1 s",
}


@pytest.mark.parametrize("act", CRASHES)
@pytest.mark.parametrize("read", [decode_rgb, decode_small_grey])
def test_decoder_that_breaks_down_is_an_error_that_names_the_file(planted, scene, encode, monkeypatch, act, read):
    """Whatever ends, confuses or stops the decoder costs that file and its process; the next image is read."""
    if act == "HANG":
        monkeypatch.setattr(decoder_processes, "TIME_LIMIT_S", 1.0)
    monkeypatch.setattr(decoder_processes, "_PATIENCE_S", 0.5)
    sound = encode(scene())
    expected = read(sound)
    before = processes()

    with pytest.raises(InputError, match=rf"^images/a\.jpg: {CRASHES[act]}"):
        read(marked(sound, act), "images/a.jpg")

    assert processes() == []
    assert all(is_gone(pid, 0) for pid in before)
    np.testing.assert_array_equal(read(sound), expected)
    assert where_images_are_decoded() == "in processes of their own"


def test_refused_file_keeps_the_process(scene, encode):
    """Damage that the decoder itself reports is no reason to start a new process."""
    data = bytearray(encode(scene()))
    decode_rgb(bytes(data))
    before = processes()
    data[len(data) // 2 : len(data) // 2 + 20] = b"\xff\x00" * 10

    with pytest.raises(InputError, match="the JPEG data is damaged"):
        decode_rgb(bytes(data))

    assert processes() == before


@pytest.mark.parametrize(
    "shape", [[], [5], [0, 5, 3], [60, 90, 4], [60, 90, "3"], [True, 5], "abc", None, [1 << 40] * 3]
)
def test_shape_that_does_not_fit_is_refused(scene, encode, shape):
    """Pixels are not read beyond what was asked for, nor with a shape that is none."""
    decode_rgb(encode(scene()))
    process = next(iter(decoder_processes._PROCESSES.all))

    with pytest.raises(InputError, match="makes no sense"):
        process._pixels(0, 60 * 90 * 3, shape, Location("a.jpg"))


def test_interrupted_request_never_becomes_the_answer_to_the_next(planted, scene, encode):
    """After a timeout in the middle of a request its process is not used again."""

    class ItsTimeIsUpError(Exception):
        pass

    def interrupt(*_):
        raise ItsTimeIsUpError

    sound = encode(scene())
    decode_rgb(sound)
    before = processes()
    previous = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        with pytest.raises(ItsTimeIsUpError):
            decode_rgb(marked(sound, "HANG"))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)

    assert all(is_gone(pid, 0) for pid in before)
    assert decode_rgb(encode(scene(1, 50, 40))).shape == (40, 50, 3)


def test_process_that_died_between_images_blames_no_file(scene, encode):
    """An idle process that somebody killed is replaced, and the next file is read as if nothing had happened."""
    decode_rgb(encode(scene()))
    (pid,) = processes()
    os.kill(pid, signal.SIGKILL)
    time.sleep(0.1)

    assert decode_rgb(encode(scene())).shape == (60, 90, 3)
    assert is_gone(pid, 0)
    assert processes() != [pid]


def test_idle_process_lives_longer_than_an_image_may_take(scene, encode, monkeypatch):
    """The alarm of one image is over with that image."""
    monkeypatch.setattr(decoder_processes, "_ORPHAN_MARGIN_S", 1 - int(decoder_processes.TIME_LIMIT_S))
    decode_rgb(encode(scene()))
    before = processes()
    time.sleep(1.3)
    decode_rgb(encode(scene()))

    assert processes() == before


def test_many_threads_share_the_processes(planted, scene, encode):
    """Each thread gets its own pixels, crashes in between change nothing, and there are no more processes than CPUs."""
    scenes = [scene(number, 60 + number, 40 + number) for number in range(24)]
    files = [encode(image, ".png") for image in scenes]
    crash = marked(encode(scene()), "SEGV")
    most = 0

    def read(number):
        nonlocal most
        if number % 40 == 39:
            with pytest.raises(InputError, match="SIGSEGV"):
                decode_rgb(crash)
            return True
        image = decode_rgb(files[number % 24])
        most = max(most, len(decoder_processes._PROCESSES.all))
        return (image == scenes[number % 24]).all()

    with ThreadPoolExecutor(12) as pool:
        assert all(pool.map(read, range(400)))
    assert 1 <= most <= os.cpu_count()


def test_crashes_leave_no_descriptor_and_no_zombie(planted, scene, encode):
    """After 20 crashes this process has the descriptors and children that it had before."""
    crash = marked(encode(scene()), "ABRT")
    children = Path(f"/proc/{os.getpid()}/task/{threading.get_native_id()}/children")
    before = (descriptors("self"), children.read_text())
    for _ in range(20):
        with pytest.raises(InputError, match="SIGABRT"):
            decode_rgb(crash)

    assert (descriptors("self"), children.read_text()) == before


def descriptors(pid):
    """Return the number of open file descriptors."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def resident(pid):
    """Return resident memory in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.slow
def test_ten_thousand_images_leak_nothing(scene, encode):
    """Neither memory nor descriptors of either process grow with the number of images, sound and damaged ones."""
    sound = [encode(scene(number), suffix) for number in range(5) for suffix in (".jpg", ".png")]
    damaged = bytearray(sound[0])
    damaged[len(damaged) // 2 : len(damaged) // 2 + 20] = b"\xff\x00" * 10

    def read(count):
        for number in range(count):
            if number % 10 == 9:
                with pytest.raises(InputError):
                    decode_rgb(bytes(damaged))
            else:
                (decode_rgb, decode_small_grey)[number % 2](sound[number % 10])
        (pid,) = processes()
        return pid, [descriptors(one) for one in ("self", pid)], resident("self") + resident(pid)

    first, before, memory = read(500)
    last, after, memory_after = read(9500)

    assert last == first
    assert after == before
    assert memory_after - memory < 8 << 20


def test_without_images_there_is_no_process(tmp_path, scene, encode):
    """Reading a size or refusing a file by its header starts nothing."""
    (tmp_path / "a.jpg").write_bytes(encode(scene()))
    read_image_size(tmp_path / "a.jpg")
    with pytest.raises(InputError):
        decode_rgb(encode(scene())[:200])

    assert processes() == []


def test_terminals_interrupt_does_not_reach_the_process(scene, encode):
    """Ctrl-C is sent to the session of the terminal, which the process does not belong to."""
    decode_rgb(encode(scene()))
    (pid,) = processes()

    assert os.getsid(pid) == pid
    assert {str(Path(f"/proc/{pid}/fd/{stream}").readlink()) for stream in range(3)} == {"/dev/null"}


SCRIPT = """
import os, signal, sys, threading, time
from pytest_mle.inputs import decoder_processes
from pytest_mle.inputs.images import read_rgb, decode_rgb
from pathlib import Path
path = Path(sys.argv[1])

def read():
    read_rgb(path)
    (process,) = decoder_processes._PROCESSES.all
    print(process._popen.pid, flush=True)

def pid():
    (process,) = decoder_processes._PROCESSES.all
    return process._popen.pid
"""
ENDS = {
    "return": ("read()", 0),
    "exit": ("read(); sys.exit(3)", 3),
    "error": ("read(); os.close(2); raise ValueError", 1),
    "_exit": ("read(); os._exit(4)", 4),
    "kill": ("read(); os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
    "terminate": ("read(); os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM),
    "abort": ("read(); os.abort()", -signal.SIGABRT),
    "read by a thread": ("thread = threading.Thread(target=read); thread.start(); thread.join()", 0),
    "fork": (
        """
        read()
        first = pid()
        child = os.fork()
        if child == 0:
            read()
            os._exit(0 if pid() != first else 1)
        assert os.waitpid(child, 0)[1] == 0
        read_rgb(path)
        assert pid() == first
        """,
        0,
    ),
    "fork that goes on": (
        """
        read()
        if os.fork() == 0:
            os.closerange(0, 3)
            time.sleep(20)
        os._exit(0)
        """,
        0,
    ),
    # Who is killed while the decoder hangs cannot end it any more: its own alarm does.
    "kill in the middle": (
        """
        decoder_processes.TIME_LIMIT_S, decoder_processes._ORPHAN_MARGIN_S = 60, -58
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        read()
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGKILL)).start()
        decode_rgb(path.read_bytes() + b"PLANTED-HANG")
        """,
        -signal.SIGKILL,
    ),
}


@pytest.mark.parametrize("end", ENDS)
def test_processes_end_with_the_one_that_started_them(tmp_path, scene, encode, end):
    """However Python ends, its decoding processes do, without a warning and without a message."""
    code, expected = ENDS[end]
    (tmp_path / "a.jpg").write_bytes(encode(scene()))
    plant_simplejpeg(tmp_path / "planted")
    path = [str(tmp_path / "planted"), str(ROOT)] if end == "kill in the middle" else [str(ROOT)]
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", SCRIPT + textwrap.dedent(code), tmp_path / "a.jpg"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == expected, done.stderr
    assert end == "abort" or done.stderr == ""
    pids = [int(line) for line in done.stdout.split()]
    assert len(pids) == (2 if end == "fork" else 1)
    # Python that ends in order has waited for them; otherwise they see that the connection is closed.
    patience = 0 if end in {"return", "exit", "error", "read by a thread"} else 10
    assert all(is_gone(pid, patience) for pid in pids)


def test_where_no_process_starts_images_are_read_here_with_a_warning(scene, encode, monkeypatch, tmp_path):
    """Decoding in this process is announced once and said in reports, never silent."""
    expected = decode_rgb(encode(scene()))
    end_decoding_processes()
    for executable, reason in [("/bin/false", "exit code 1"), (str(tmp_path / "none"), "No such file")]:
        monkeypatch.setattr(sys, "executable", executable)
        monkeypatch.setattr(decoder_processes._PROCESSES, "why_not", None)

        with pytest.warns(RuntimeWarning, match=rf"in the process that runs pytest: .*does not start: .*{reason}"):
            found = decode_rgb(encode(scene()))

        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(decode_rgb(encode(scene())), expected)
        assert reason in where_images_are_decoded()


def test_where_memory_cannot_be_shared_images_are_read_here_with_a_warning(scene, encode, monkeypatch):
    """Systems other than Linux decode in this process, and say so."""
    monkeypatch.delattr(os, "memfd_create")

    with pytest.warns(RuntimeWarning, match="in the process that runs pytest: there is no memory to share on linux"):
        assert decode_rgb(encode(scene())).shape == (60, 90, 3)
    assert processes() == []


def test_process_without_the_library_is_not_used(planted, scene, encode):
    """What this process can import and the other cannot is used here, with a warning, and no file is blamed."""
    with pytest.warns(RuntimeWarning, match="lacks a library: ImportError: no libjpeg"):
        assert decode_rgb(marked(encode(scene()), "LESS")).shape == (60, 90, 3)


def test_default_timeout_of_sockets_changes_nothing(scene, encode):
    """A project that limits its own connections does not limit ours."""
    socket.setdefaulttimeout(0.001)
    try:
        assert decode_rgb(encode(scene(2, 900, 700))).shape == (700, 900, 3)
        before = processes()
        time.sleep(0.2)
        assert decode_rgb(encode(scene(2, 900, 700))).shape == (700, 900, 3)
    finally:
        socket.setdefaulttimeout(None)
    assert processes() == before


def test_requests_are_answered_until_the_connection_closes(scene, encode):
    """The other side of the connection tells shape, refusal and failure, each with the number of its request."""
    data = encode(scene(), ".png")
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    memory = mmap.mmap(-1, 1 << 20)
    memory[: len(data)] = data
    thread = threading.Thread(target=serve, args=(theirs, memory, 60))
    thread.start()

    def ask(*request):
        ours.send(json.dumps(request).encode())
        return json.loads(ours.recv(8192))

    with ours, theirs:
        assert ask(7, 1 << 20, "opencv", len(data), 60 * 90 * 3, "RGB", 1) == [7, "decoded", [60, 90, 3]]
        assert ask(8, 1 << 20, "opencv", len(data), 100, "RGB", 1)[:2] == [8, "failed"]
        assert ask(9, 1 << 20, "opencv", 30, 100, "RGB", 1) == [9, "refused", "its data is damaged"]
        ours.shutdown(socket.SHUT_WR)
        thread.join(10)
    start = -(-len(data) // 4096) * 4096
    np.testing.assert_array_equal(np.frombuffer(memory, np.uint8, 60 * 90 * 3, start).reshape(60, 90, 3), scene())


def test_refusal_of_a_decoder_reaches_the_caller():
    """The decoder's own words come over, whichever process they come from."""
    for decode in (decode_apart, here):
        with pytest.raises(RefusedImageError, match="its data is damaged"):
            decode("opencv", b"none", pixel_bytes=10, arguments=("RGB", 1), place=Location("a"))
