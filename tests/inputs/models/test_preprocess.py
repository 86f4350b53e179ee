"""Tests of resizing and of the way back."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mle.errors import InputError, MissingExtraError
from pytest_mle.inputs.models.declaration import Preprocess
from pytest_mle.inputs.models.preprocess import Preprocessor, place

RESIZES = ("letterbox", "stretch", "center_crop")


def _image(width, height, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def _preprocessor(**keys):
    return Preprocessor(Preprocess.model_validate({"resize": "letterbox", "size": [64, 48], **keys}))


def test_letterbox_by_hand():
    """A 100x50 image in 64x48 becomes 64x32 with eight padded rows above and below."""
    new, corner, placement = place(Preprocess(resize="letterbox", size=(64, 48)), 100, 50)
    assert new == (64, 32)
    assert corner == (0, 8)
    assert placement.to_image(np.array([[32.0, 24.0, 64.0, 40.0]])).tolist() == [[50.0, 25.0, 100.0, 50.0]]


def test_letterbox_pads_with_the_declared_value_and_resizes_as_opencv_does():
    """Outside the image stands pad_value, inside exactly what one resize gives."""
    original = _image(100, 50)
    prepared = _preprocessor(pad_value=51).prepare([original])
    assert prepared.shape == (1, 3, 48, 64)
    assert np.all(prepared[0, :, :8] == np.float32(0.2))
    assert np.all(prepared[0, :, 40:] == np.float32(0.2))
    expected = cv2.resize(original, (64, 32)).transpose(2, 0, 1) / np.float32(255)
    np.testing.assert_array_equal(prepared[0, :, 8:40], expected)


def test_center_crop_by_hand():
    """A 200x100 image in 64x48 is scaled to 96x48, and 16 columns are cut on either side."""
    new, corner, placement = place(Preprocess(resize="center_crop", size=(64, 48)), 200, 100)
    assert new == (96, 48)
    assert corner == (-16, 0)
    assert placement.to_image(np.array([[0.0, 0.0, 64.0, 48.0]]))[0, 0] == pytest.approx(200 * 16 / 96)


def test_center_crop_of_a_part():
    """With crop_fraction 0.875 a 256 px square is covered for 224 px, as image classifiers are evaluated."""
    new, corner, _ = place(Preprocess(resize="center_crop", size=(224, 224), crop_fraction=0.875), 500, 375)
    assert new == (341, 256)
    assert corner == (-58, -16)


def test_center_crop_cuts_the_middle_out_of_the_resized_image():
    """What reaches the network is the middle of one resize."""
    original = _image(200, 100)
    prepared = _preprocessor(resize="center_crop").prepare([original])
    expected = cv2.resize(original, (96, 48))[:, 16:80].transpose(2, 0, 1) / np.float32(255)
    np.testing.assert_array_equal(prepared[0], expected)


def test_an_image_of_the_right_size_is_not_touched():
    """No resize where none is needed: values stay what they are by 255."""
    original = _image(64, 48)
    for resize in (*RESIZES, "none"):
        prepared = _preprocessor(resize=resize).prepare([original])
        np.testing.assert_array_equal(prepared[0], original.transpose(2, 0, 1) / np.float32(255))


def test_colors():
    """The order bgr reverses the channels, gray makes one of them by the luma weights."""
    original = _image(64, 48)
    rgb = _preprocessor().prepare([original])
    np.testing.assert_array_equal(_preprocessor(color="bgr").prepare([original]), rgb[:, ::-1])
    gray = _preprocessor(color="gray").prepare([original])
    assert gray.shape == (1, 1, 48, 64)
    np.testing.assert_allclose(
        gray[0, 0], [0.299, 0.587, 0.114] @ rgb[0].reshape(3, -1).reshape(3, 48, 64).transpose(1, 0, 2), atol=1 / 255
    )


def test_mean_and_std_are_in_units_of_the_range():
    """The same normalisation in 0..1 and in 0..255 gives the same numbers."""
    prepared = _preprocessor().prepare([_image(64, 48)])
    small = _preprocessor(range=[0, 1], mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])
    large = _preprocessor(range=[0, 255], mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])
    expected = (prepared - np.array([0.485, 0.456, 0.406]).reshape(1, 3, 1, 1)) / np.array(
        [0.229, 0.224, 0.225]
    ).reshape(1, 3, 1, 1)
    np.testing.assert_allclose(small.network_input(prepared), expected, atol=1e-5)
    np.testing.assert_allclose(large.network_input(prepared), expected, atol=1e-4)


def test_symmetric_range():
    """A range of [-1, 1] maps black to -1 and white to 1."""
    black_and_white = np.array([[[0.0]], [[1.0]], [[0.5]]], dtype=np.float32)[np.newaxis]
    values = _preprocessor(range=[-1, 1]).network_input(black_and_white)
    assert values.ravel().tolist() == [-1.0, 1.0, 0.0]


def test_layout_and_number_type():
    """An nhwc uint8 network gets the resized bytes themselves."""
    original = _image(64, 48)
    bytes_ = _preprocessor(layout="nhwc", dtype="uint8")
    values = bytes_.network_input(bytes_.prepare([original]))
    assert values.dtype == np.uint8
    np.testing.assert_array_equal(values[0], original)


@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8"])
@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("color", ["rgb", "bgr", "gray"])
def test_feeding_is_preparing_and_normalising(dtype, layout, color):
    """The short way of the prediction pass gives the same bits as prepare and network_input."""
    channels = 1 if color == "gray" else 3
    keys = (
        {} if dtype == "uint8" else {"mean": [0.485, 0.456, 0.406][:channels], "std": [0.229, 0.224, 0.225][:channels]}
    )
    machine = _preprocessor(dtype=dtype, layout=layout, color=color, **keys)
    pictures = [_image(100, 50), _image(30, 60)]
    values, placements = machine.feed(pictures)
    expected = machine.network_input(machine.prepare(pictures))
    assert values.dtype == expected.dtype
    np.testing.assert_array_equal(values, expected)
    assert [placement.width for placement in placements] == [100, 30]


def test_a_graph_that_takes_bytes_refuses_a_normalisation():
    """The graph's number type counts even where the entry names none."""
    with pytest.raises(InputError, match="takes uint8"):
        Preprocessor(Preprocess(resize="none", mean=(0.5, 0.5, 0.5)), "uint8")


def test_the_given_images_are_not_changed():
    """Preparing and normalising leave their inputs as they were."""
    original = _image(100, 50)
    before = original.copy()
    machine = _preprocessor(mean=[0.5] * 3, std=[0.25] * 3)
    prepared = machine.prepare([original])
    kept = prepared.copy()
    machine.network_input(prepared)
    np.testing.assert_array_equal(original, before)
    np.testing.assert_array_equal(prepared, kept)


@given(
    st.sampled_from(RESIZES),
    st.integers(1, 700),
    st.integers(1, 700),
    st.integers(1, 300),
    st.integers(1, 300),
    st.tuples(*[st.floats(0, 1)] * 4),
)
def test_boxes_find_their_way_back(resize, width, height, target_width, target_height, corners):
    """A box mapped into the network's input and back is the same box, and never leaves the image."""
    _, _, placement = place(Preprocess(resize=resize, size=(target_width, target_height)), width, height)
    x, y = sorted(corners[:2]), sorted(corners[2:])
    box = np.array([[x[0] * width, y[0] * height, x[1] * width, y[1] * height]])
    scale = np.array([placement.scale_x, placement.scale_y] * 2)
    offset = np.array([placement.offset_x, placement.offset_y] * 2)
    np.testing.assert_allclose(placement.to_image(box * scale + offset), box, atol=1e-3)
    far = placement.to_image(np.array([[-1e6, -1e6, 1e6, 1e6]]))
    assert far.tolist() == [[0, 0, width, height]]


@given(st.sampled_from(RESIZES), st.integers(1, 300), st.integers(1, 300))
def test_every_size_fills_the_network_input(resize, width, height):
    """Whatever comes in, the network gets its size, without a value left unset or outside 0..1."""
    machine = _preprocessor(resize=resize)
    room = np.full((3, 48, 64), np.nan, dtype=np.float32)
    machine.prepare_into(_image(width, height), room)
    assert np.isfinite(room).all()
    assert 0 <= room.min() <= room.max() <= 1


def test_the_center_crop_covers_the_input():
    """Rounding never leaves a column without image, even for thin images."""
    for width, height in ((1, 700), (700, 1), (333, 334), (224, 225)):
        new, corner, _ = place(Preprocess(resize="center_crop", size=(224, 224)), width, height)
        assert new[0] >= 224
        assert new[1] >= 224
        assert 0 <= -corner[0] <= new[0] - 224
        assert 0 <= -corner[1] <= new[1] - 224


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_what_is_no_rgb_image_is_refused(bad):
    """A wrong shape or number type is an error, not a strange picture."""
    with pytest.raises(InputError, match="expected an RGB image"):
        _preprocessor().prepare([bad])


def test_mixed_sizes_without_a_resize_are_refused():
    """One batch has one size."""
    with pytest.raises(InputError, match=r"images of sizes \[\(10, 8\), \(12, 8\)\]"):
        _preprocessor(resize="none", size=None).prepare([_image(10, 8), _image(12, 8)])


def test_another_size_than_declared_without_a_resize_is_refused():
    """No resize, but a size means that images have this size."""
    with pytest.raises(InputError, match="10x8"):
        _preprocessor(resize="none").prepare([_image(10, 8)])


def test_missing_opencv_names_the_extra(monkeypatch):
    """Without OpenCV the error says what to install."""
    monkeypatch.setitem(__import__("sys").modules, "cv2", None)
    with pytest.raises(MissingExtraError, match=r'pip install "pytest-mle\[vision\]"'):
        _preprocessor().prepare([_image(10, 8)])
