"""Pictures sorted into folders, in a folder or straight from a zip, decoded once and kept in a cache.

Two layouts are read, at any depth: ``train/CLASS/*`` beside ``test/CLASS/*``; or ``CLASS/*`` alone, of which
every fifth picture of a class (in the order of the names) is for testing.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from .tensors import Examples, TensorData

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from jaxtyping import UInt8
    from torch import Tensor

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff")
TEST_EVERY = 5  # of pictures without a split of their own, every fifth is for testing


def read_image_folder(path: str | Path, label: str, *, size: int = 32) -> TensorData:
    """All pictures under ``path`` as RGB ``uint8`` tensors ``[example, 3, size, size]``, cropped to a square.

    The training set comes in one fixed random order, so that its last examples are of all classes.

    Args:
        path: a folder or a zip of one of the two layouts.
        label: the data set's name in results.
        size: pixels a side.

    Raises:
        Unusable: nothing there, another layout, or a picture that cannot be decoded (named).
    """
    path = Path(path).expanduser().resolve()
    with _open_source(path) as (names, fingerprint, read):
        cached = [folder / f"pictures-{fingerprint}-{size}.safetensors" for folder in _cache_folders(path)]
        for file in cached:
            tensors = _read_cache(file)
            if tensors:
                break
        else:
            tensors = _decode(path, names, read, size)
            _write_cache(cached, tensors)
    return TensorData(
        label=label,
        train=Examples(tensors["train_inputs"], tensors["train_targets"]),
        test=Examples(tensors["test_inputs"], tensors["test_targets"]),
        classes=int(tensors["classes"]),
    )


@contextmanager
def _open_source(path: Path) -> Generator[tuple[list[str], str, Callable[[str], bytes]]]:
    """The pictures' names below ``path``, a fingerprint that changes when they do, and how to read one."""
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if _is_picture(file.name))
        stats = [(str(file.relative_to(path)), file.stat()) for file in files]
        content = [str(path), *((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)]
        yield (
            [file.relative_to(path).as_posix() for file in files],
            _digest(content),
            lambda name: (path / name).read_bytes(),
        )
    elif path.is_file():
        try:
            with zipfile.ZipFile(path) as archive:
                names = sorted(name for name in archive.namelist() if _is_picture(PurePosixPath(name).name))
                stat = path.stat()
                yield names, _digest([str(path), stat.st_size, stat.st_mtime_ns]), archive.read
        except zipfile.BadZipFile as error:
            raise Unusable(f"{path} is not a zip that can be read ({error}); get it again") from error
    else:
        raise Unusable(f"no pictures at {path}: neither a folder nor a zip is there")


def _is_picture(name: str) -> bool:
    return name.lower().endswith(SUFFIXES) and not name.startswith("._")  # macOS adds "._" twins to its zips


def _digest(content: Sequence[object]) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def _split(path: Path, names: list[str]) -> tuple[list[str], dict[str, list[tuple[str, int]]]]:
    """The classes in alphabetical order, and of each part the pictures with the number of their class."""
    places = [(name, *("", "", *PurePosixPath(name).parts)[-3:-1]) for name in names]  # grandparent, parent
    if not places or not all(parent for _, _, parent in places):
        raise Unusable(f"no pictures in folders named after their classes (train/CLASS/*, CLASS/*) in {path}")
    classes = sorted({parent for _, _, parent in places})
    parts: dict[str, list[tuple[str, int]]] = {"train": [], "test": []}
    if {grandparent for _, grandparent, _ in places} == {"train", "test"}:
        for name, part, parent in places:
            parts[part].append((name, classes.index(parent)))
    else:
        seen = dict.fromkeys(classes, 0)
        for name, _, parent in places:
            seen[parent] += 1
            part = "train" if seen[parent] % TEST_EVERY else "test"
            parts[part].append((name, classes.index(parent)))
    if not parts["train"] or not parts["test"]:
        raise Unusable(f"fewer than {TEST_EVERY} pictures of each class in {path}: too few to train and to test")
    return classes, parts


def _decode(path: Path, names: list[str], read: Callable[[str], bytes], size: int) -> dict[str, Tensor]:
    classes, parts = _split(path, names)
    order = torch.randperm(len(parts["train"]), generator=torch.Generator().manual_seed(0)).tolist()
    parts["train"] = [parts["train"][index] for index in order]
    tensors = {"classes": torch.tensor(len(classes))}
    for part, pictures in parts.items():
        images = torch.empty(len(pictures), 3, size, size, dtype=torch.uint8)
        for index, (name, _) in enumerate(pictures):
            images[index] = _decode_picture(path, name, read, size)
        tensors[f"{part}_inputs"] = images
        tensors[f"{part}_targets"] = torch.tensor([target for _, target in pictures])
    return tensors


def _decode_picture(path: Path, name: str, read: Callable[[str], bytes], size: int) -> UInt8[Tensor, "3 size size"]:
    import numpy as np
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(read(name))) as picture:
            square = ImageOps.fit(picture.convert("RGB"), (size, size))
    except (OSError, ValueError, SyntaxError, zipfile.BadZipFile) as error:  # what Pillow raises, by format
        raise Unusable(f"{name} in {path} is not a picture that can be decoded ({error})") from error
    return torch.from_numpy(np.array(square)).permute(2, 0, 1)


def _cache_folders(path: Path) -> list[Path]:
    """The user's cache, and a hidden folder beside the pictures for those whose home cannot be written."""
    return [user_cache(), path.parent / ".lrpilot"]


def user_cache() -> Path:
    """Where lrpilot keeps what it can make or download again."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "lrpilot"


def _read_cache(file: Path) -> dict[str, Tensor] | None:
    try:
        with safe_open(file, framework="pt") as stored:
            return {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - no iterator
    except (OSError, SafetensorError):
        return None


def _write_cache(candidates: list[Path], tensors: dict[str, Tensor]) -> None:
    for file in candidates:
        unfinished = file.with_suffix(f".{os.getpid()}")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            save_file(tensors, unfinished)
            unfinished.replace(file)
            return
        except (OSError, SafetensorError):  # read-only or full: the next place, or no cache at all
            unfinished.unlink(missing_ok=True)
