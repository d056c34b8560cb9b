"""Data sets: found, downloaded, decoded, cached; and one clear line when they cannot be."""

import functools
import gzip
import hashlib
import http.server
import io
import os
import socket
import struct
import threading
import zipfile
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from lrpilot.errors import InvalidArgument, Unusable
from lrpilot.experiments.tasks import data as data_sets
from lrpilot.experiments.tasks import image_folder
from lrpilot.experiments.tasks.catalogue import load_task
from lrpilot.experiments.tasks.image_folder import read_image_folder
from lrpilot.experiments.tasks.picture import decode


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def idx_file(array):
    """MNIST's format: a magic number, the sizes, the bytes."""
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def mnist_files(count=3):
    files = {}
    for prefix, offset in (("train", 0), ("t10k", 5)):
        labels = (np.arange(count) + offset).astype(np.uint8) % 10
        images = np.broadcast_to(labels[:, None, None], (count, 28, 28))
        files[f"{prefix}-images-idx3-ubyte"] = idx_file(np.ascontiguousarray(images))
        files[f"{prefix}-labels-idx1-ubyte"] = idx_file(labels)
    return files


@pytest.fixture
def mnist_mirror(tmp_path, monkeypatch):
    """A file server on this machine that serves a tiny MNIST; gives the folder it serves."""
    from torchvision.datasets import MNIST

    served = tmp_path / "served"
    served.mkdir()
    resources = []
    for name, content in mnist_files().items():
        packed = gzip.compress(content)
        (served / f"{name}.gz").write_bytes(packed)
        resources.append((f"{name}.gz", hashlib.md5(packed).hexdigest()))

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(served)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(MNIST, "mirrors", [f"http://127.0.0.1:{server.server_address[1]}/"])
    monkeypatch.setattr(MNIST, "resources", resources)
    yield served
    server.shutdown()
    server.server_close()


def test_mnist_is_downloaded_when_missing_and_not_again(mnist_mirror, tmp_path):
    folder = tmp_path / "new" / "data"
    first = data_sets.mnist(folder)
    assert first.train.inputs.shape == (3, 1, 28, 28)
    assert first.train.targets.tolist() == [0, 1, 2]
    assert first.test.inputs[:, 0, 14, 14].tolist() == [5, 6, 7]
    for file in mnist_mirror.iterdir():
        file.unlink()
    assert torch.equal(data_sets.mnist(folder).train.inputs, first.train.inputs)


def test_a_damaged_download_is_refused(mnist_mirror, tmp_path):
    (mnist_mirror / "train-labels-idx1-ubyte.gz").write_bytes(b"not what the checksum says")
    with pytest.raises(Unusable, match="could not be downloaded"):
        data_sets.mnist(tmp_path / "data")


def test_missing_data_says_where_it_looked_and_how_to_get_it(monkeypatch, tmp_path):
    from torchvision.datasets import MNIST

    with socket.create_server(("127.0.0.1", 0)) as nobody:
        monkeypatch.setattr(MNIST, "mirrors", [f"http://127.0.0.1:{nobody.getsockname()[1]}/"])
    with pytest.raises(Unusable) as raised:
        data_sets.mnist(tmp_path / "data")
    message = str(raised.value)
    assert "\n" not in message
    for part in (str(tmp_path / "data"), "train-images-idx3-ubyte", "127.0.0.1", "--data", "LRPILOT_DATA"):
        assert part in message


@pytest.mark.parametrize("name", list(mnist_files()))
@pytest.mark.parametrize("damage", [lambda content: content[:-40], lambda content: b"", lambda content: b"x" * 90])
def test_a_damaged_mnist_file_is_named(tmp_path, name, damage):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for file, content in mnist_files(count=60).items():
        (raw / file).write_bytes(damage(content) if file == name else content)
    with pytest.raises(Unusable, match=f"{name} is damaged") as raised:
        data_sets.mnist(tmp_path)
    assert "\n" not in str(raised.value)


def test_the_folder_is_the_one_given_then_the_variable_then_the_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("LRPILOT_DATA", "/from/variable")
    assert str(data_sets.data_folder("/given")) == "/given"
    assert str(data_sets.data_folder()) == "/from/variable"
    monkeypatch.delenv("LRPILOT_DATA")
    assert data_sets.data_folder() == tmp_path / "cache" / "lrpilot" / "data"


def test_digits_need_no_folder_and_are_split_once_and_for_all():
    digits = data_sets.digits()
    assert (len(digits.train), len(digits.test)) == (1438, 359)
    assert digits.train.inputs.shape == (1438, 64)
    assert digits.train.targets[:5].tolist() == [0, 1, 2, 3, 5]  # the fifth, a 4, is for testing
    assert digits.test.targets[0] == 4


def test_holding_out_takes_the_last_and_leaves_the_rest():
    digits = data_sets.digits()
    split = digits.hold_out(100)
    assert torch.equal(split.validation.inputs, digits.train.inputs[-100:])
    assert torch.equal(split.train.targets, digits.train.targets[:-100])
    assert split.test is digits.test
    assert len(split.fraction(0.2).train) == 268
    assert len(split.fraction(0.2).validation) == 100
    with pytest.raises(InvalidArgument, match=r"validation must be a number in \[1, 1437\], got 1438"):
        digits.hold_out(1438)
    with pytest.raises(InvalidArgument, match="fraction"):
        digits.fraction(1.5)


def picture(path, shade, size=(32, 32)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (shade, 2 * shade, 0)).save(path)


def zipped(folder):
    target = folder.with_suffix(".zip")
    with zipfile.ZipFile(target, "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, f"wrapped/{file.relative_to(folder)}")
    return target


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    for part, count in (("train", 4), ("test", 2)):
        for number, name in enumerate(("cats", "dogs", "eels")):
            for index in range(count):
                picture(folder / part / name / f"{index}.png", shade=10 * number + index, size=(40, 64))
    return folder


@pytest.mark.parametrize("kind", [lambda folder: folder, zipped], ids=["folder", "zip"])
def test_pictures_with_a_split(pictures, kind):
    data = read_image_folder(kind(pictures), "pets")
    assert (data.label, data.classes, len(data.train), len(data.test)) == ("pets", 3, 12, 6)
    assert data.train.inputs.shape == (12, 3, 32, 32)
    assert data.train.inputs.dtype == torch.uint8
    red, green = data.train.inputs[:, 0, 0, 0], data.train.inputs[:, 1, 31, 31]
    assert torch.equal(red // 10, data.train.targets.to(torch.uint8))  # each image with its own class
    assert torch.equal(green, 2 * red)
    assert sorted(red.tolist()) == [0, 1, 2, 3, 10, 11, 12, 13, 20, 21, 22, 23]
    assert data.train.targets.tolist() != sorted(data.train.targets.tolist())  # classes are mixed
    assert data.test.targets.tolist() == [0, 0, 1, 1, 2, 2]


def test_pictures_without_a_split_get_one(tmp_path):
    folder = tmp_path / "all"
    for name in ("a", "b"):
        for index in range(11):
            picture(folder / name / f"{index:02}.jpg", shade=index)
    (folder / "a" / "notes.txt").write_text("not a picture")
    data = read_image_folder(folder, "all", size=16)
    assert (len(data.train), len(data.test)) == (18, 4)
    assert data.test.targets.tolist() == [0, 0, 1, 1]
    assert data.train.inputs.shape[-1] == 16


def test_pictures_are_decoded_once_and_again_when_they_change(pictures, monkeypatch):
    decoded = []
    decode = image_folder.decode
    monkeypatch.setattr(image_folder, "decode", lambda *picture: decoded.append(picture) or decode(*picture))
    first = read_image_folder(pictures, "pets")
    assert len(decoded) == 18
    again = read_image_folder(pictures, "pets")
    assert len(decoded) == 18
    assert torch.equal(first.train.inputs, again.train.inputs)
    picture(pictures / "train" / "cats" / "new.png", shade=9)
    assert len(read_image_folder(pictures, "pets").train) == 13
    assert len(decoded) == 18 + 19


def test_a_damaged_cache_is_made_again(pictures, tmp_path):
    first = read_image_folder(pictures, "pets")
    (file,) = (tmp_path / "cache" / "lrpilot").iterdir()
    file.write_bytes(file.read_bytes()[:100])
    assert torch.equal(read_image_folder(pictures, "pets").train.inputs, first.train.inputs)
    assert file.stat().st_size > 100


@pytest.mark.parametrize(("content", "reason"), [(b"no picture", "no format that is known"), (b"", "empty")])
def test_a_picture_that_is_none_is_named(pictures, content, reason):
    (pictures / "train" / "dogs" / "2.png").write_bytes(content)
    with pytest.raises(Unusable, match=rf"train/dogs/2\.png in .* is not a picture that can be decoded \({reason}\)$"):
        read_image_folder(pictures, "pets")


def test_places_without_pictures_say_so(tmp_path):
    with pytest.raises(Unusable, match="neither a folder nor a zip"):
        read_image_folder(tmp_path / "nothing", "pets")
    (tmp_path / "broken.zip").write_bytes(b"PK no zip")
    with pytest.raises(Unusable, match=r"broken\.zip is not a zip"):
        read_image_folder(tmp_path / "broken.zip", "pets")
    picture(tmp_path / "flat" / "1.png", shade=1)
    with pytest.raises(Unusable, match="train/CLASS"):
        read_image_folder(tmp_path / "flat", "pets")
    picture(tmp_path / "few" / "cats" / "1.png", shade=1)
    picture(tmp_path / "few" / "dogs" / "1.png", shade=1)
    with pytest.raises(Unusable, match="too few"):
        read_image_folder(tmp_path / "few", "pets")


def sorted_into(folder, *paths):
    """A picture at each path; its red value is its place in the list."""
    for place, path in enumerate(paths):
        picture(folder / path, shade=place)
    return folder


def reds(examples):
    return sorted(examples.inputs[:, 0, 0, 0].tolist())


@pytest.mark.parametrize(
    "folders",
    [
        ("Train/{}", "TEST/{}", "val/{}"),
        ("training/{}", "testing/{}", "Validation/{}"),
        ("{}/train", "{}/test", "{}/valid"),
        ("a/b/train/{}/more", "a/b/test/{}", "a/b/dev/{}"),
        ("training_set/{}", "test_set/{}", "val-images/{}"),
        ("seg_train/seg_train/{}", "seg_test/seg_test/{}", "dev/{}"),
        ("train2017/{}", "testset/{}", "Valid Data/{}"),
    ],
)
def test_training_validation_and_test_are_never_pooled(tmp_path, folders):
    train, test, validation = (
        [f"{folder.format(name)}/{index}.png" for name in ("cats", "dogs") for index in range(2)] for folder in folders
    )
    data = read_image_folder(sorted_into(tmp_path / "own", *train, *test, *validation), "own")
    assert (data.classes, reds(data.train), reds(data.test)) == (2, [0, 1, 2, 3], [4, 5, 6, 7])
    assert reds(data.validation) == [8, 9, 10, 11]
    assert data.test.targets.tolist() == [0, 0, 1, 1]


def test_a_validation_set_is_for_testing_where_there_is_no_other(tmp_path):
    data = read_image_folder(sorted_into(tmp_path / "own", *["train/a/1.png", "train/b/1.png", "val/a/1.png"]), "own")
    assert (reds(data.train), reds(data.test), data.validation) == ([0, 1], [2], None)


def test_a_training_set_alone_is_split_by_classes(tmp_path):
    names = [f"train/{name}/{index}.png" for name in "ab" for index in range(5)]
    data = read_image_folder(sorted_into(tmp_path / "own", *names), "own")
    assert (data.classes, reds(data.test)) == (2, [4, 9])


def test_classes_may_be_called_like_parts(tmp_path):
    names = [f"{name}/{index}.png" for name in ("valid", "invalid") for index in range(5)]
    data = read_image_folder(sorted_into(tmp_path / "own", *names), "own")
    assert (data.classes, len(data.train), data.validation) == (2, 8, None)
    names = ["train/train/1.png", "train/car/1.png", "test/train/1.png", "test/car/1.png"]
    data = read_image_folder(sorted_into(tmp_path / "vehicles", *names), "own")
    assert (data.classes, reds(data.train), reds(data.test)) == (2, [0, 1], [2, 3])


def test_hidden_folders_are_no_classes_and_leave_the_split(tmp_path):
    names = ["train/a/1.png", "train/b/1.png", "test/a/1.png", "test/b/1.png"]
    hidden = [".ipynb_checkpoints/x.png", "train/.thumbnails/x.png", "__MACOSX/train/c/x.png", "train/a/.x.png"]
    data = read_image_folder(sorted_into(tmp_path / "own", *names, *hidden), "own")
    assert (data.classes, reds(data.train), reds(data.test)) == (2, [0, 1], [2, 3])


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["train/a/1.png", "test/a/1.png", "train/b/1.png", "banner.png"], "banner.png in .* lies outside"),
        (["train/a/1.png", "test/a/1.png", "train/b/1.png", "more/b/1.png"], "more/b/1.png in .* lies outside"),
        (["train/a/1.png", "train/b/1.png", "test/1.png"], r"test/1.png in .* outside the folders of its classes"),
        (["test/a/1.png", "val/a/1.png", "test/b/1.png"], "no folder train"),
        (["train/a/1.png", "train/b/1.png", "test/c/1.png"], "class c in .* has no pictures for training"),
        (["train/1.png", "test/2.png"], "no pictures in folders named after their classes"),
        ([f"a/{index}.png" for index in range(9)], "one class alone, a,"),
    ],
)
def test_layouts_that_say_too_little_are_refused_in_one_line(tmp_path, names, said):
    with pytest.raises(Unusable, match=said) as raised:
        read_image_folder(sorted_into(tmp_path / "own", *names), "own")
    assert "\n" not in str(raised.value)


def test_linked_classes_and_pictures_are_followed_and_circles_end(pictures, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    moved = (pictures / "train" / "dogs").rename(tmp_path / "elsewhere" / "dogs")
    (pictures / "train" / "dogs").symlink_to(moved)
    (pictures / "train" / "cats" / "round").symlink_to(pictures)
    (pictures / "train" / "cats" / "0.png").rename(tmp_path / "elsewhere" / "0.png")
    (pictures / "train" / "cats" / "0.png").symlink_to(tmp_path / "elsewhere" / "0.png")
    data = read_image_folder(pictures, "pets")
    assert (data.classes, len(data.train), len(data.test)) == (3, 12, 6)


@pytest.mark.parametrize(
    ("values", "mode", "expected"),
    [
        (np.array([[0, 257 * 100], [257 * 200, 65535]], np.uint16), "I;16", [0, 100, 200, 255]),
        (np.array([[0.0, 0.25], [0.5, 1.0]], np.float32), "F", [0, 64, 128, 255]),
        (np.array([[0.0, 25.0], [50.0, 100.0]], np.float32), "F", [0, 25, 50, 100]),
        (np.array([[0, 257 * 7], [257 * 9, 65535]], np.int32), "I", [0, 7, 9, 255]),
    ],
)
def test_deep_pictures_are_scaled_to_eight_bits(values, mode, expected):
    image = Image.fromarray(values)
    assert image.mode == mode
    stream = io.BytesIO()
    image.save(stream, "TIFF" if mode == "F" else "PNG" if mode == "I;16" else "TIFF")
    decoded = decode(stream.getvalue(), 2)
    assert decoded.flatten(1).tolist() == [expected] * 3


def decoded(image, kind="PNG", **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return decode(stream.getvalue(), 2)[0].tolist()


def test_fractions_that_resampling_carried_beyond_their_bound():
    values = np.array([[0, 0.5], [0.75, 1.02]], np.float32)
    assert decoded(Image.fromarray(values), "TIFF") == [[0, 128], [191, 255]]
    assert decoded(Image.fromarray(255 * values), "TIFF") == [[0, 128], [191, 255]]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_is_white(mode):
    """Black on nothing, as icons and drawings are: two rows, the upper one transparent."""
    if mode == "P":
        image = Image.fromarray(np.array([[0, 0], [1, 1]], np.uint8), "P")
        image.putpalette([0] * 768)
        assert decoded(image, transparency=0) == [[255, 255], [0, 0]]
    else:
        image = Image.new(mode, (2, 2), 0)
        image.putalpha(Image.fromarray(np.array([[0, 0], [255, 255]], np.uint8)))
        assert decoded(image) == [[255, 255], [0, 0]]


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "I;16"])
def test_a_picture_that_a_camera_was_turned_for_stands_upright(mode, kind):
    turned = Image.Exif()
    turned[0x112] = 6  # to be turned clockwise
    image = Image.fromarray(np.array([[0, 100], [200, 255]], np.uint8))
    image = Image.fromarray(np.asarray(image).astype(np.uint16) * 257) if mode == "I;16" else image.convert(mode)
    if mode in ("RGBA", "LA"):
        image.putalpha(Image.fromarray(np.array([[0, 255], [255, 255]], np.uint8)))  # the black corner, on white
    corner = 255 if mode in ("RGBA", "LA") else 0
    assert decoded(image, kind, exif=turned) == [[200, corner], [255, 100]]


def test_pictures_of_every_kind_are_seen(tmp_path):
    """What cannot be decoded is refused, where a class of its own would be left out unseen."""
    for name in ("a", "b"):
        for index, suffix in enumerate(("ppm", "PGM", "jfif", "jp2", "tga")):
            picture(tmp_path / "own" / name / f"{index}.png", shade=index)
            (tmp_path / "own" / name / f"{index}.png").rename(tmp_path / "own" / name / f"{index}.{suffix}")
    assert len(read_image_folder(tmp_path / "own", "own").train) == 8
    (tmp_path / "own" / "c").mkdir()
    (tmp_path / "own" / "c" / "phone.HEIC").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    with pytest.raises(Unusable, match=r"c/phone\.HEIC in .* is not a picture that can be decoded"):
        read_image_folder(tmp_path / "own", "own")


def test_a_zip_with_the_separators_of_windows(pictures):
    target = pictures.with_suffix(".zip")
    with zipfile.ZipFile(target, "w") as archive:
        for file in sorted(pictures.rglob("*.png")):
            archive.writestr(str(file.relative_to(pictures)).replace("/", "\\"), file.read_bytes())
    data = read_image_folder(target, "pets")
    assert (data.classes, len(data.train), len(data.test)) == (3, 12, 6)


def broken_link(folder):
    (folder / "train" / "dogs" / "2.png").unlink()
    (folder / "train" / "dogs" / "2.png").symlink_to("nowhere")
    return folder


def pipe(folder):
    (folder / "train" / "dogs" / "2.png").unlink()
    os.mkfifo(folder / "train" / "dogs" / "2.png")
    return folder


def bomb(folder):
    header = struct.pack(">IIBBBBB", 20000, 10000, 8, 0, 0, 0, 0)
    chunk = b"IHDR" + header
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    (folder / "train" / "dogs" / "2.png").write_bytes(png + struct.pack(">I", 0) + b"IDAT" + b"0" * 99)
    return folder


def not_finite(folder):
    Image.fromarray(np.full((4, 4), np.nan, np.float32)).save(folder / "train" / "dogs" / "2.png", "TIFF")
    return folder


def encrypted(folder):
    """The flag of an encrypted entry, in every header of a zip."""
    file = zipped(folder)
    content = bytearray(file.read_bytes())
    for mark, flag in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = content.find(mark)
        while place >= 0:
            content[place + flag] |= 1
            place = content.find(mark, place + 1)
    file.write_bytes(content)
    return file


def of_an_unknown_method(folder):
    file = zipped(folder)
    content = bytearray(file.read_bytes())
    for mark, method in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        place = content.find(mark)
        while place >= 0:
            content[place + method] = 99
            place = content.find(mark, place + 1)
    file.write_bytes(content)
    return file


@pytest.mark.skipif(os.name != "posix", reason="pipes and links with names")
@pytest.mark.parametrize("spoilt", [broken_link, pipe, bomb, not_finite, encrypted, of_an_unknown_method])
def test_what_cannot_be_read_is_named_in_one_line(pictures, spoilt):
    with pytest.raises(Unusable, match=r"(train|test)/\w+/\d\.png") as raised:
        read_image_folder(spoilt(pictures), "pets")
    assert "\n" not in str(raised.value)


def test_a_set_smaller_than_a_batch_trains_with_what_there_is(pictures):
    assert load_task(f"image-folder:{pictures}").batch_size == 12


def test_without_a_home_the_line_says_what_to_set(monkeypatch):
    for variable in ("HOME", "XDG_CACHE_HOME", "LRPILOT_DATA"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    with pytest.raises(Unusable, match="there is no home directory: set HOME"):
        data_sets.data_folder()


def test_a_damaged_original_cifar10_is_named(tmp_path):
    (tmp_path / "cifar-10-batches-py").mkdir()
    (tmp_path / "cifar-10-batches-py" / "data_batch_1").write_bytes(b"damaged")
    with pytest.raises(Unusable, match=r"data_batch_1 is damaged"):
        data_sets.cifar10(tmp_path)


@pytest.mark.data
def test_real_mnist(data):
    mnist = data_sets.mnist(data)
    assert (len(mnist.train), len(mnist.test), mnist.classes) == (60_000, 10_000, 10)
    assert mnist.train.targets.bincount()[:3].tolist() == [5923, 6742, 5958]
    assert (mnist.train.inputs / 255).mean().item() == pytest.approx(0.1307, abs=1e-4)
