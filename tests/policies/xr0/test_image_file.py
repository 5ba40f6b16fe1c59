import numpy as np
import pytest
from PIL import Image

from takt.policies.xr0.image_file import read_image
from takt.policies.xr0.images import ImageError

RGB = np.random.default_rng(0).integers(0, 256, (7, 5, 3), dtype=np.uint8)


@pytest.fixture
def save(tmp_path):
    def write(image, name="image.png", **options):
        path = tmp_path / name
        image.save(path, **options)
        return path

    return write


def test_rgb_comes_back_as_it_is(save):
    pixels = read_image(save(Image.fromarray(RGB)))
    assert pixels.dtype == np.uint8
    assert (pixels == RGB).all()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA"])
def test_modes_with_one_meaning_are_converted(save, mode):
    image = Image.fromarray(RGB).convert(mode)
    pixels = read_image(save(image))
    assert pixels.shape == (7, 5, 3)
    assert (pixels == np.asarray(image.convert("RGB"))).all()


def test_transparent_parts_are_laid_on_white(save):
    alpha = np.full((7, 5, 1), 255, np.uint8)
    alpha[0, 0] = 0
    pixels = read_image(save(Image.fromarray(np.concatenate((RGB, alpha), axis=2))))
    assert (pixels[0, 0] == 255).all()
    assert (pixels[1:] == RGB[1:]).all()


def test_a_turned_photograph_stands_upright(save):
    turned = Image.Exif()
    turned[0x0112] = 6  # the camera was held on its side
    pixels = read_image(save(Image.fromarray(RGB), exif=turned))
    assert (pixels == np.rot90(RGB, -1)).all()


@pytest.mark.parametrize(("dtype", "name"), [("uint16", "deep.png"), ("float32", "deep.tiff")])
def test_values_of_unknown_range_are_refused(save, dtype, name):
    with pytest.raises(ImageError, match="range"):
        read_image(save(Image.fromarray(np.ones((4, 4), dtype)), name))


def test_what_is_no_image_is_named(tmp_path, save):
    whole = save(Image.fromarray(np.tile(RGB, (9, 9, 1)))).read_bytes()
    for name, data in (("empty.png", b""), ("text.png", b"hello"), ("cut.png", whole[:200])):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ImageError, match=name):
            read_image(tmp_path / name)
    for name, kind in (("none.png", "it is not there"), (".", "it is a folder")):
        with pytest.raises(ImageError, match=f"cannot read.*{kind}"):
            read_image(tmp_path / name)
