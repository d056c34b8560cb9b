"""The data sets by name: scikit-learn's digits, those of torchvision, and a user's own pictures.

Each takes the folder where data sets lie (None: that of :func:`data_folder`) and gives :class:`TensorData` with inputs
as they are stored.
"""

from __future__ import annotations

import os
import socket
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from lrpilot.core.files import expanded
from lrpilot.core.folders import make, remove
from lrpilot.errors import Unusable

from .image_folder import read_image_folder, user_cache
from .tensors import Examples, TensorData

if TYPE_CHECKING:
    from collections.abc import Generator

    from torchvision.datasets import MNIST

DOWNLOAD_TIMEOUT = 30  # seconds without an answer, after which there is no network
CIFAR10_ZIP = "cifar10-jpeg.zip"


def data_folder(given: str | Path | None = None) -> Path:
    """Where data sets lie: ``given``, or the variable LRPILOT_DATA, or a folder in the user's cache."""
    return expanded(given or os.environ.get("LRPILOT_DATA") or user_cache() / "data")


def digits(folder: str | Path | None = None) -> TensorData:
    """scikit-learn's handwritten digits, ``[1797, 64]`` with values 0 to 16; every fifth is for testing.

    Nothing is downloaded: ``folder`` is not looked at.
    """
    from sklearn.datasets import load_digits

    images, targets = load_digits(return_X_y=True)
    inputs, classes = torch.from_numpy(images).to(torch.uint8), torch.from_numpy(targets).long()
    is_test = torch.arange(len(classes)) % 5 == 4
    train, test = (Examples(inputs[part], classes[part]) for part in (~is_test, is_test))
    return TensorData("digits", train, test, classes=10)


def mnist(folder: str | Path | None = None) -> TensorData:
    """MNIST, ``uint8`` ``[example, 1, 28, 28]``, 60,000 and 10,000 of them, downloaded when it is not there.

    Raises:
        Unusable: neither there nor to be downloaded, or a file that cannot be read.
    """
    from torchvision.datasets import MNIST

    return _idx_files(MNIST, "MNIST", data_folder(folder))


def fashion_mnist(folder: str | Path | None = None) -> TensorData:
    """Fashion-MNIST: as :func:`mnist`."""
    from torchvision.datasets import FashionMNIST

    return _idx_files(FashionMNIST, "Fashion-MNIST", data_folder(folder))


def cifar10(folder: str | Path | None = None) -> TensorData:
    """CIFAR-10, ``uint8`` ``[example, 3, 32, 32]``, 50,000 and 10,000 of them.

    The original files when they are there; else ``cifar10-jpeg.zip``, one JPEG an image, whose results carry
    the label ``CIFAR-10 (JPEG)`` because the pixels differ slightly; else the original is downloaded.

    Raises:
        Unusable: neither there nor to be downloaded, or a file that cannot be read.
    """
    from torchvision.datasets import CIFAR10
    from torchvision.datasets.utils import check_integrity

    folder = data_folder(folder)
    original = folder / CIFAR10.base_folder
    if not original.exists() and (folder / CIFAR10_ZIP).exists():
        return read_image_folder(folder / CIFAR10_ZIP, "CIFAR-10 (JPEG)")
    if not original.exists():
        with _download("CIFAR-10", folder, f"{CIFAR10.base_folder}/ or {CIFAR10_ZIP}", CIFAR10.url):
            CIFAR10(folder, download=True)
    meta = (CIFAR10.meta["filename"], CIFAR10.meta["md5"])
    for name, checksum in (*CIFAR10.train_list, *CIFAR10.test_list, meta):
        if not check_integrity(original / name, checksum):
            raise _corrupt(original / name, original)
    stored = (CIFAR10(folder, train=part) for part in (True, False))
    train, test = (
        Examples(torch.from_numpy(part.data).permute(0, 3, 1, 2).contiguous(), torch.tensor(part.targets))
        for part in stored
    )
    return TensorData("CIFAR-10", train, test, classes=10)


def _idx_files(source: type[MNIST], label: str, folder: Path) -> TensorData:
    raw = folder / source.__name__ / "raw"
    names = [Path(name).stem for name, _ in source.resources]
    if not all((raw / name).exists() for name in names):
        looked_for = f"{source.__name__}/raw/ with {', '.join(names)}"
        with _download(label, folder, looked_for, source.mirrors[0], into=f"{source.__name__}/raw"):
            source(str(folder), download=True)
    return TensorData(label, _idx_examples(raw, "train"), _idx_examples(raw, "t10k"), classes=len(source.classes))


def _idx_examples(raw: Path, prefix: str) -> Examples:
    from torchvision.datasets.mnist import read_image_file, read_label_file

    tensors = []
    for name, read in (("images-idx3", read_image_file), ("labels-idx1", read_label_file)):
        file = raw / f"{prefix}-{name}-ubyte"
        try:
            tensors.append(read(str(file)))
        except Exception as error:  # torchvision's parser asserts, indexes and reshapes: all mean a damaged file
            raise _corrupt(file, file) from error
    images, targets = tensors
    if len(images) != len(targets) or not 0 <= int(targets.min()) <= int(targets.max()) < 10:
        raise _corrupt(raw / f"{prefix}-labels-idx1-ubyte", raw)
    return Examples(images.unsqueeze(1), targets)


def _corrupt(file: Path, remove: Path) -> Unusable:
    return Unusable(f"{file} is damaged or missing; delete {remove} and run again to download it anew")


@contextmanager
def _download(label: str, folder: Path, looked_for: str, url: str, *, into: str = "") -> Generator[None]:
    """Around a download: what goes wrong becomes one line on what is missing, where, and how to get it.

    A folder made for it, ``into`` below ``folder``, goes again then.
    """
    patience = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT)
    made: list[Path] = []
    try:
        made = make(folder / into)
        with redirect_stdout(None):  # where torchvision before 0.21 says what it tries
            yield
    except (OSError, RuntimeError, EOFError) as error:
        remove(made)
        reason = str(error).strip().splitlines()[-1]
        raise Unusable(
            f"{label} is not in {folder} (looked for {looked_for}) and could not be downloaded from {url} "
            f"({reason}); put it there, or name its folder with --data DIR or the variable LRPILOT_DATA"
        ) from error
    finally:
        socket.setdefaulttimeout(patience)
