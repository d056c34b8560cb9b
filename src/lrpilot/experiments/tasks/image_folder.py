"""Pictures sorted into folders, in a folder or straight from a zip, decoded once and kept in a cache.

How they are sorted is for `picture_layout` to say.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from lrpilot.core.files import expanded, read_file, replace_file
from lrpilot.errors import Unusable

from .picture import decode
from .picture_layout import arranged, is_picture
from .tensors import Examples, TensorData

if TYPE_CHECKING:
    from torch import Tensor

RULES = 5  # counts up when pictures are read otherwise, so that no older cache is taken
LARGEST_FILE = 2**30  # bytes of a picture within a zip: a bomb says less


def read_image_folder(path: str | Path, label: str, *, size: int = 32) -> TensorData:
    """All pictures under ``path`` as RGB ``uint8`` tensors ``[example, 3, size, size]``, cropped to a square.

    The training set comes in one fixed random order, so that its last examples are of all classes.

    Args:
        path: a folder or a zip of one of the layouts.
        label: the data set's name in results.
        size: pixels a side.

    Raises:
        Unusable: nothing there, another layout, or a picture that cannot be decoded (named).
    """
    path = Path(os.path.realpath(expanded(path)))  # Path.resolve raises a RuntimeError on a circle of links
    with _open_source(path) as (names, fingerprint, read):
        cached = [folder / f"pictures-{fingerprint}-{size}.safetensors" for folder in _cache_folders(path)]
        tensors = next(filter(None, map(_read_cache, cached)), None)
        if tensors is None:
            tensors = _decode_all(path, names, read, size)
            _write_cache(cached, tensors)
    found = [name.removesuffix("_inputs") for name in tensors if name.endswith("_inputs")]
    parts = {name: Examples(tensors[f"{name}_inputs"], tensors[f"{name}_targets"]) for name in found}
    return TensorData(label=label, classes=int(parts["train"].targets.max()) + 1, **parts)


@contextmanager
def _open_source(path: Path) -> Generator[tuple[list[str], str, Callable[[str], bytes]]]:
    """The pictures' names below ``path``, a fingerprint that changes when they do, and how to read one."""
    if path.is_dir():
        files = {file.relative_to(path).as_posix(): file for file in _walk(path) if is_picture(file.relative_to(path))}
        stats: list[tuple[str, int, int]] = []
        for name, file in sorted(files.items()):
            try:
                stat = file.stat()
            except OSError as error:
                raise Unusable(f"{name} in {path} leads to no picture ({error.strerror}): remove it") from error
            stats.append((name, stat.st_size, stat.st_mtime_ns))
        yield sorted(files), _digest([str(path), *stats]), lambda name: read_file(files[name])
    elif path.is_file():
        try:
            archive = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
            raise Unusable(f"{path} is not a zip that can be read ({error}); get it again") from error
        with archive:
            stored = {name.replace("\\", "/"): name for name in archive.namelist()}  # as Windows once zipped
            names = sorted(name for name in stored if is_picture(Path(name)))
            stat = path.stat()
            mark = _digest([str(path), stat.st_size, stat.st_mtime_ns])
            yield names, mark, lambda name: _unzipped(archive, stored[name])
    else:
        raise Unusable(f"no pictures at {path}: neither a folder nor a zip is there")


def _walk(path: Path) -> Generator[Path]:
    """All files below a folder, linked folders followed, each once; one that cannot be read is an error."""

    def refuse(error: OSError) -> None:
        raise Unusable(f"{error.filename} cannot be read ({error.strerror})") from error

    seen: set[str] = set()
    for folder, subfolders, files in os.walk(path, onerror=refuse, followlinks=True):
        here = os.path.realpath(folder)
        if here in seen:
            subfolders.clear()
            continue
        seen.add(here)
        subfolders.sort()
        yield from (Path(folder, file) for file in files)


def _unzipped(archive: zipfile.ZipFile, name: str) -> bytes:
    with archive.open(name) as file:
        content = file.read(LARGEST_FILE + 1)
    if len(content) > LARGEST_FILE:
        raise ValueError(f"more than {LARGEST_FILE} bytes")
    return content


def _digest(content: Sequence[object]) -> str:
    return hashlib.sha256(json.dumps([RULES, *content]).encode()).hexdigest()[:16]


def _decode_all(path: Path, names: list[str], read: Callable[[str], bytes], size: int) -> dict[str, Tensor]:
    parts = arranged(names, path)
    order = torch.randperm(len(parts["train"]), generator=torch.Generator().manual_seed(0)).tolist()
    parts["train"] = [parts["train"][index] for index in order]
    tensors: dict[str, Tensor] = {}
    for part, pictures in parts.items():
        images = torch.empty(len(pictures), 3, size, size, dtype=torch.uint8)
        for index, (name, _) in enumerate(pictures):
            try:
                images[index] = decode(read(name), size)
            except Exception as error:  # decoders and zips raise anything
                reason = " ".join(str(error).split()) or type(error).__name__
                raise Unusable(f"{name} in {path} is not a picture that can be decoded ({reason})") from error
        tensors[f"{part}_inputs"] = images
        tensors[f"{part}_targets"] = torch.tensor([target for _, target in pictures])
    return tensors


def _cache_folders(path: Path) -> list[Path]:
    """The user's cache, and a hidden folder beside the pictures for those whose home cannot be written."""
    with suppress(Unusable):
        return [user_cache(), path.parent / ".lrpilot"]
    return [path.parent / ".lrpilot"]


def user_cache() -> Path:
    """Where lrpilot keeps what it can make or download again."""
    return expanded(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "lrpilot"


def _read_cache(file: Path) -> dict[str, Tensor] | None:
    try:
        with safe_open(file, framework="pt") as stored:
            return {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - no iterator
    except (OSError, SafetensorError):
        return None


def _write_cache(candidates: list[Path], tensors: dict[str, Tensor]) -> None:
    """In the first place that is neither read-only nor full; no cache at all does no harm."""
    for file in candidates:
        with suppress(OSError, Unusable):
            file.parent.mkdir(parents=True, exist_ok=True)
            replace_file(file, save(tensors))
            return
