"""Run the image decoders; as a script, the process that does so for pytest until pytest closes the connection.

The script imports nothing of this package, so that it starts fast and whatever the decoders do stays in here.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import mmap
    import socket
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

# Requests and answers are single datagrams of JSON, far below this; pixels and files go through shared memory.
MESSAGE_BYTES = 8192
_TEXT_CHARACTERS = 1000
# Pixels begin at a page, whatever the length of the file in front of them.
_PAGE_BYTES = 4096


class RefusedImageError(Exception):
    """A decoder did its work and says that the file is damaged or not for it."""


def decode_with_simplejpeg(data: Any, buffer: Any, colours: str, smallest_side: int) -> NDArray[np.uint8]:
    """Decode a JPEG file with libjpeg's warnings as errors, as far reduced as leaves ``smallest_side`` pixels."""
    import simplejpeg

    try:
        return simplejpeg.decode_jpeg(  # type: ignore[no-any-return]
            data,
            colours,
            fastdct=False,
            fastupsample=False,
            min_height=smallest_side,
            min_width=smallest_side,
            buffer=buffer,
            strict=True,
        )
    except ValueError as error:
        raise RefusedImageError(str(error)) from error


def decode_with_opencv(data: Any, buffer: Any, colours: str, factor: int) -> NDArray[np.uint8]:  # noqa: ARG001  as above
    """Decode any image file, reduced by ``factor``; not turned upright."""
    import cv2
    import numpy as np

    mode = cv2.IMREAD_COLOR if colours == "RGB" else _grey_mode(cv2, factor)
    try:
        image: Any = cv2.imdecode(np.frombuffer(data, np.uint8), mode | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise RefusedImageError(error.err or str(error)) from error
    if image is None:
        raise RefusedImageError("its data is damaged")
    decoded: NDArray[np.uint8] = cv2.cvtColor(image, cv2.COLOR_BGR2RGB) if colours == "RGB" else image
    return decoded


def _grey_mode(cv2: Any, factor: int) -> int:
    reduced = {8: cv2.IMREAD_REDUCED_GRAYSCALE_8, 4: cv2.IMREAD_REDUCED_GRAYSCALE_4, 2: cv2.IMREAD_REDUCED_GRAYSCALE_2}
    return int(reduced.get(factor, cv2.IMREAD_GRAYSCALE))


DECODERS: dict[str, Callable[[Any, Any, str, int], NDArray[np.uint8]]] = {
    "simplejpeg": decode_with_simplejpeg,
    "opencv": decode_with_opencv,
}


def pixels_offset(byte_count: int) -> int:
    """Return where in the shared memory the pixels of a file of so many bytes begin."""
    return -(-byte_count // _PAGE_BYTES) * _PAGE_BYTES


def serve(connection: socket.socket, memory: mmap.mmap, seconds: int) -> None:
    """Decode what lies in the memory for each request until the other side closes the connection.

    The alarm ends a process that hangs although nobody is left to wait for it.
    """
    while request := connection.recv(MESSAGE_BYTES):
        number, capacity, *work = json.loads(request)
        signal.alarm(seconds)
        if len(memory) != capacity:
            memory.resize(capacity)
        outcome, told = _outcome(memory, *work)
        signal.alarm(0)
        connection.send(json.dumps([number, outcome, told]).encode())


def _outcome(memory: mmap.mmap, decoder: str, byte_count: int, pixel_bytes: int, *arguments: Any) -> tuple[str, Any]:
    start = pixels_offset(byte_count)
    buffer = memoryview(memory)[start : start + pixel_bytes]
    try:
        image = DECODERS[decoder](memoryview(memory)[:byte_count].toreadonly(), buffer, *arguments)
        return "decoded", _place(image, buffer)
    except RefusedImageError as error:
        return "refused", str(error)[:_TEXT_CHARACTERS]
    except ImportError as error:
        return "unable", f"{type(error).__name__}: {error}"[:_TEXT_CHARACTERS]
    except Exception as error:  # noqa: BLE001  the other side says it, with the file's name
        return "failed", f"{type(error).__name__}: {error}"[:_TEXT_CHARACTERS]


def _place(image: NDArray[np.uint8], buffer: memoryview) -> list[int]:
    """Return the shape of an image that lies at the begin of the buffer; copy it there if it does not."""
    import numpy as np

    if image.dtype != np.uint8 or image.nbytes > len(buffer):
        raise ValueError(f"decodes to {list(image.shape)} {image.dtype}, more than its header declares")
    target = np.frombuffer(buffer, np.uint8, image.size).reshape(image.shape)
    if image.ctypes.data != target.ctypes.data:
        target[...] = image
    return list(image.shape)


def main(connection: str, memory: str, seconds: str, path: str) -> None:
    """Serve the connection and the memory of these file descriptors with the libraries of this ``sys.path``."""
    import mmap
    import resource
    import socket

    # The decoders' crashes are an expected outcome: no core files. What pytest blocked or ignored is not ours.
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    sys.path[:] = json.loads(path)
    import numpy as np  # noqa: F401  said to be ready when it is

    shared = mmap.mmap(int(memory), os.fstat(int(memory)).st_size)
    os.close(int(memory))
    with socket.socket(fileno=int(connection)) as served:
        served.settimeout(None)  # whatever the default time-out is over there
        served.send(json.dumps([0, "ready", None]).encode())
        serve(served, shared, int(seconds))


if __name__ == "__main__":
    main(*sys.argv[1:])
