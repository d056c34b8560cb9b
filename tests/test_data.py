"""Data sets: found, downloaded, decoded, cached; and one clear line when they cannot be."""

import functools
import gzip
import hashlib
import http.server
import socket
import struct
import threading
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from lrpilot.errors import InvalidArgument, Unusable
from lrpilot.experiments.tasks import data as data_sets
from lrpilot.experiments.tasks import image_folder
from lrpilot.experiments.tasks.image_folder import read_image_folder


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
    decode = image_folder._decode_picture
    monkeypatch.setattr(
        image_folder, "_decode_picture", lambda *picture: decoded.append(picture[1]) or decode(*picture)
    )
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


def test_a_picture_that_is_none_is_named(pictures):
    (pictures / "train" / "dogs" / "2.png").write_bytes(b"no picture")
    with pytest.raises(Unusable, match=r"train/dogs/2\.png in .* is not a picture that can be decoded"):
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
    with pytest.raises(Unusable, match="too few"):
        read_image_folder(tmp_path / "few", "pets")


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
