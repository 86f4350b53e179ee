"""A module called simplejpeg that behaves badly on marked files, found before the real one by whoever decodes."""

from __future__ import annotations

import textwrap

# It loads the real module in its own place, and replaces one function in it.
SIMPLEJPEG = """
import os, signal, socket, sys, time
sys.path.remove(os.path.dirname(__file__))
del sys.modules[__name__]
import numpy, simplejpeg
sys.path.insert(0, os.path.dirname(__file__))
decode_jpeg = simplejpeg.decode_jpeg

def kill(number):
    os.kill(os.getpid(), number)
    time.sleep(60)

def tell(text):
    for name in os.listdir("/proc/self/fd"):
        try:
            socket.socket(fileno=os.dup(int(name))).send(text)
        except OSError:
            pass

def hang_in_c():
    import ctypes
    mutex = ctypes.create_string_buffer(64)
    library = ctypes.PyDLL(None)  # which keeps the interpreter locked
    library.pthread_mutex_lock(mutex)
    library.pthread_mutex_lock(mutex)

ACTS = {
    b"SEGV": lambda: kill(signal.SIGSEGV),
    b"ABRT": os.abort,
    b"KILL": lambda: kill(signal.SIGKILL),
    b"EXIT": lambda: os._exit(3),
    b"HANG": hang_in_c,
    b"TEXT": lambda: tell(b"garbage"),
    b"LIST": lambda: tell(b"[]"),
    b"ELSE": lambda: tell(b'[123456, "decoded", [1, 1, 3]]'),
    b"FULL": lambda: exec("raise MemoryError('no room')"),
    b"LESS": lambda: exec("raise ImportError('no libjpeg')"),
    b"SHUT": lambda: (tell(b""), os.closerange(3, 64), time.sleep(60)),
    b"BAD1": lambda: numpy.zeros((5000, 5000, 3), numpy.uint8),
    b"BAD2": lambda: numpy.zeros((5, 5, 3)),
}

def behave(data, *arguments, **keys):
    mark = bytes(data)[-12:]
    if mark.startswith(b"PLANTED-"):
        returned = ACTS[mark[8:]]()
        if returned is not None:
            return returned
    return decode_jpeg(data, *arguments, **keys)

simplejpeg.decode_jpeg = behave
"""


def plant_simplejpeg(folder):
    """Write the module; the folder is to stand first in the path."""
    folder.mkdir(exist_ok=True)
    (folder / "simplejpeg.py").write_text(textwrap.dedent(SIMPLEJPEG))


def marked(jpeg, act):
    """Return a JPEG file that is sound for every decoder but the planted one."""
    return jpeg + b"PLANTED-" + act.encode()
