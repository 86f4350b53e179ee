"""Decoders that crash, hang or answer nonsense in a real run: red items that name the file, and the run goes on."""

from __future__ import annotations

import pytest
from perception_project import HEADER, ITEMS, write_image, write_perception

from tests.support.planted_simplejpeg import marked, plant_simplejpeg

CONFTEST = """
import pytest_mle.inputs.decoder_processes as decoder_processes

decoder_processes.TIME_LIMIT_S = 2.0
"""


@pytest.mark.parametrize(
    ("act", "reason", "arguments"),
    [
        ("SEGV", "the decoder crashed on this file (signal SIGSEGV)", ("-n", "2")),
        ("KILL", "the decoder crashed on this file (signal SIGKILL)", ()),
        ("HANG", "the decoder did not finish this file within 2 s", ()),
        ("TEXT", "the decoder's answer for this file makes no sense", ()),
    ],
)
def test_decoder_that_breaks_down_costs_its_file_and_not_the_run(project, act, reason, arguments):
    """The file is a corrupt image for the integrity check, an error for who needs its pixels, and no one else's concern."""
    folder = project.pytester.path
    write_perception(folder)
    image = folder / "data/images/06.jpg"
    (folder / "data/images/06.png").unlink()
    write_image(image)
    image.write_bytes(marked(image.read_bytes(), act))
    plant_simplejpeg(folder)
    project.conftest(CONFTEST)
    project.spec(*ITEMS, header=HEADER)

    outcome = project.run(*arguments, process=True)

    assert outcome.ret == 1
    assert project.verdicts() == {"DATA": "FAIL", "DETECT": "ERROR", "SIZE": "PASS", "TRAIN": "PASS"}
    found = project.results()
    quantities = {one["name"]: one for one in found["DATA"]["quantities"]}
    assert quantities["corrupt_images"]["value"] == 1
    corrupt = next(one for one in found["DATA"]["findings"] if one["kind"] == "corrupt_images")
    assert [(one["path"], one["message"]) for one in corrupt["shown"]] == [("data/images/06.jpg", reason)]
    assert found["DETECT"]["reasons"] == [f"data/images/06.jpg: {reason}"]
    outcome.stdout.no_fnmatch_line("*Traceback*")
    assert "decoder_worker" not in outcome.stderr.str()


def test_report_says_where_images_were_decoded(project):
    """The settings of the integrity check record that a crash would not have taken the run with it."""
    write_perception(project.pytester.path)
    project.spec(ITEMS[0], header=HEADER)

    assert project.run().ret == 0
    assert project.results()["DATA"]["settings"]["images_decoded"] == "in processes of their own"
