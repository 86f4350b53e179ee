"""What policy.images allows to be seen."""

from __future__ import annotations

import base64

import pytest

from pytest_mle.inputs.pictures import PREFIX, visible_figures
from pytest_mle.records.figure import Figure

cv2 = pytest.importorskip("cv2")
np = pytest.importorskip("numpy")


def picture(image):
    """Return an image as it is embedded."""
    return PREFIX + base64.b64encode(cv2.imencode(".jpg", image)[1].tobytes()).decode()


def pixels(embedded):
    """Return the grey pixels of an embedded picture."""
    data = np.frombuffer(base64.b64decode(embedded.removeprefix(PREFIX)), np.uint8)
    return cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)


BOARD = np.kron(np.indices((16, 16)).sum(axis=0) % 2, np.ones((4, 4))).astype(np.uint8) * 255


def test_shown_blurred_and_off():
    """Shown is as it was, blurred hides details of a few pixels, off shows nothing; other figures stay."""
    grid = Figure("image_grid", "sheet", images=(picture(BOARD), "data/a.jpg"))
    line = Figure("line", "loss")
    assert visible_figures((grid, line), "shown") == (grid, line)
    off, same = visible_figures((grid, line), "off")
    assert off.images == ("data/a.jpg",)
    assert same is line
    blurred, _ = visible_figures((grid, line), "blurred")
    assert len(blurred.images) == 2
    assert pixels(grid.images[0]).std() > 100
    assert pixels(blurred.images[0])[8:-8, 8:-8].std() < 15


@pytest.mark.parametrize("broken", [PREFIX, PREFIX + "AAAA", PREFIX + "?", "data:image/png;base64,AAAA"])
def test_a_picture_that_cannot_be_blurred_is_left_out(broken):
    """What cannot be made unrecognisable is not shown."""
    (figure,) = visible_figures((Figure("image_grid", "sheet", images=(broken,)),), "blurred")
    assert figure.images == ()
