"""Photographs that scikit-image and scikit-learn ship: decoding, whole files, cut files, copies that look alike."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

cv2 = pytest.importorskip("cv2")
np = pytest.importorskip("numpy")
skimage_data = pytest.importorskip("skimage.data")
sklearn_datasets = pytest.importorskip("sklearn.datasets")

# In the wheels: nothing is downloaded. Grey, RGB, RGBA, microscopy, a scan of text, a telescope, a fundus camera.
SKIMAGE = (
    *("astronaut.png", "brick.png", "camera.png", "cell.png", "chelsea.png", "coffee.png", "coins.png", "grass.png"),
    *("gravel.png", "horse.png", "hubble_deep_field.jpg", "ihc.png", "logo.png", "moon.png", "page.png", "retina.jpg"),
    *("rocket.jpg", "text.png"),
)
SKLEARN = ("china.jpg", "flower.jpg")

HEADER = """
mle_spec: 1
project: {name: Photographs, version: "1"}
processes: []
policy: {seed: 3}
inputs:
  datasets:
    photos: {path: photos, format: imagefolder}
    damaged: {path: damaged, format: imagefolder}
defaults: {dataset: photos}
items:
"""

# A check of the project: are the pixels those of another reader?
DECODING = """
import numpy as np
import pytest
import pytest_mle as mle
from PIL import Image


@pytest.fixture
def decoding(mle_dataset):
    @mle.check(quantities={"largest_difference": mle.exact("1", "lower"), "decoded_images": mle.exact("{image}", "higher")})
    def measure(*, channels: str = "RGB"):
        largest, wrong = 0, []
        for index in range(len(mle_dataset)):
            sample = mle_dataset.sample(index)
            wanted = np.asarray(Image.open(sample.path).convert("RGB"), dtype=int)
            found = mle_dataset.image(index)[:, :, :: -1 if channels == "BGR" else 1].astype(int)
            difference = int(np.abs(wanted - found).max()) if wanted.shape == found.shape else 255
            largest = max(largest, difference)
            if difference:
                wrong.append(mle.Finding(f"differs by {difference}", path=sample.id))
        findings = (mle.Findings.collect("different_images", wrong),) if wrong else ()
        return mle.Measurement(quantities={"largest_difference": largest, "decoded_images": len(mle_dataset)}, findings=findings)
    return measure
"""


@pytest.fixture(scope="module")
def photographs():
    """Where the photographs are."""
    skimage, sklearn = (Path(module.__file__).parent for module in (skimage_data, sklearn_datasets))
    found = [skimage / name for name in SKIMAGE] + [sklearn / "images" / name for name in SKLEARN]
    present = [path for path in found if path.is_file()]
    assert len(present) >= 15, "the libraries ship other pictures than they used to"
    return present


def copy_all(paths, folder):
    """Copy pictures into the only class of an image folder."""
    folder.mkdir(parents=True)
    for path in paths:
        shutil.copyfile(path, folder / path.name)


def integrity_item(identifier, dataset, criteria):
    """Return an item that checks a data set's files."""
    return (
        f"  - {{id: {identifier}, title: Intact, base_practice: SUP.11.BP5, check: dataset_integrity, "
        f"using: {{dataset: {dataset}}}, accept: [{criteria}]}}\n"
    )


INTACT = (
    "corrupt_images == 0, wrong_extensions == 0, exact_duplicates == 0, near_duplicate_pairs == 0, "
    "flat_images == 0, undersized_images == 0"
)


def test_whole_photographs_have_no_defect_and_cut_ones_are_all_found(real_project, photographs):
    """No false alarm on sound pictures; cut off anywhere, each of them is corrupt, and its path is listed."""
    copy_all(photographs, real_project.root / "photos/real")
    damaged = real_project.root / "damaged/real"
    damaged.mkdir(parents=True)
    chance = np.random.default_rng(11)
    small = [path for path in photographs if path.stat().st_size < 250_000]
    for path in small:
        data = path.read_bytes()
        # The last bytes, the header, and anywhere between.
        for number, length in enumerate([len(data) - 1, len(data) - 2, 20, *chance.integers(21, len(data) - 2, 4)]):
            (damaged / f"{path.stem}_{number}{path.suffix}").write_bytes(data[:length])
    planted = {f"damaged/real/{path.name}" for path in damaged.iterdir()}
    real_project.run(HEADER + integrity_item("WHOLE", "photos", INTACT) + integrity_item("CUT", "damaged", INTACT))
    assert real_project.verdicts() == {"WHOLE": "PASS", "CUT": "FAIL"}, real_project.outcome.stdout.str()
    assert real_project.quantity("WHOLE", "images_checked") == len(photographs)
    assert real_project.quantity("CUT", "corrupt_images") == len(planted) == 7 * len(small)
    listed = {path for path, _ in real_project.findings("CUT", "corrupt_images")}
    assert listed <= planted
    assert len(listed) == min(50, len(planted))


def test_copies_of_photographs_are_near_duplicates(real_project, photographs):
    """A JPEG of quality 50, a smaller and a brighter copy of a picture each look like it; its negative does not."""
    coloured = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "china.jpg", "flower.jpg", "camera.png")
    chosen = [path for path in photographs if path.name in coloured]
    folder = real_project.root / "photos/real"
    copy_all(chosen, folder)
    shutil.copytree(folder, real_project.root / "damaged/real")
    copies = real_project.root / "damaged/real"
    for path in chosen:
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        cv2.imwrite(str(copies / f"{path.stem}_jpeg.jpg"), image, [cv2.IMWRITE_JPEG_QUALITY, 50])
        half = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(copies / f"{path.stem}_half.png"), half)
        cv2.imwrite(str(copies / f"{path.stem}_bright.png"), cv2.convertScaleAbs(image, alpha=0.85, beta=35))
        cv2.imwrite(str(copies / f"{path.stem}_negative.png"), 255 - image)
    real_project.run(
        HEADER + integrity_item("DISTINCT", "photos", INTACT) + integrity_item("COPIES", "damaged", INTACT)
    )
    assert real_project.verdicts() == {"DISTINCT": "PASS", "COPIES": "FAIL"}, real_project.outcome.stdout.str()
    assert real_project.quantity("COPIES", "exact_duplicates") == 0
    # Four that look alike are up to six pairs. A lowered contrast may be too far from the original itself, and is then
    # found beside another copy.
    assert 3 * len(chosen) <= real_project.quantity("COPIES", "near_duplicate_pairs") <= 6 * len(chosen)
    found = {}
    for path, message in real_project.findings("COPIES", "near_duplicate_pairs"):
        one, other = (Path(name).stem for name in (path, message.split()[2]))
        assert one.partition("_")[0] == other.partition("_")[0], "two different pictures"
        found.setdefault(one.partition("_")[0], set()).update({one, other})
    assert found == {
        path.stem: {path.stem, *(f"{path.stem}_{copy}" for copy in ("jpeg", "half", "bright"))} for path in chosen
    }


def test_decoded_pixels_are_those_of_pillow(real_project, photographs):
    """Grey, RGB, RGBA and JPEG files decode to the pixels that Pillow reads; swapped channels would be seen."""
    pytest.importorskip("PIL")
    copy_all(photographs, real_project.root / "photos/real")
    (real_project.root / "conftest.py").write_text(DECODING, encoding="utf-8")
    items = """
  - {id: RGB, title: Pixels, base_practice: SUP.11.BP5, check: decoding, accept: [largest_difference == 0, decoded_images >= 15]}
  - {id: BGR, title: Pixels, base_practice: SUP.11.BP5, check: decoding, with: {channels: BGR}, accept: [largest_difference == 0]}
"""
    real_project.run(HEADER + items)
    assert real_project.verdicts() == {"RGB": "PASS", "BGR": "FAIL"}, real_project.outcome.stdout.str()
    # Grey pictures are the same in either order.
    assert {path for path, _ in real_project.findings("BGR", "different_images")} >= {
        "real/astronaut.png",
        "real/china.jpg",
    }
    assert "real/camera.png" not in {path for path, _ in real_project.findings("BGR", "different_images")}
