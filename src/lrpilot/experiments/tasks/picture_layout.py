"""How pictures are sorted into folders: into classes, and into what is for training and for testing.

Read, at any depth: ``train/CLASS/*`` or ``CLASS/train/*`` beside ``test`` and ``val`` (in any case, and by their usual
other names, with or without a word such as set: ``training_set``); or ``CLASS/*`` alone, of which every fifth picture
of a class (in the order of the names) is for testing. Hidden files and folders are skipped.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path, PurePath, PurePosixPath

from lrpilot.errors import Unusable

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".jp2", ".png", ".apng", ".bmp", ".gif", ".webp", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".avif", ".heic", ".heif"),
)
"""What the decoder cannot read (HEIC needs a plug-in) is refused by name: left out, a whole class would go unseen."""
PARTS = {
    **dict.fromkeys(("train", "training", "trainset"), "train"),
    **dict.fromkeys(("test", "testing", "testset"), "test"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "validation"),
}
BESIDE = {"", "set", "data", "dataset", "images", "imgs", "pictures", "seg"}  # in the name of a part, and of no weight
TEST_EVERY = 5  # of pictures without a split of their own, every fifth is for testing

Place = tuple[str, str, str]  # a picture's name, its part (empty: none) and its class
Parts = dict[str, list[tuple[str, int]]]  # of each, the pictures with the number of their class, in alphabetical order


def is_picture(name: PurePath) -> bool:
    """Whether a name is that of a picture, neither hidden nor in a hidden folder or one that macOS adds to its zips."""
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in name.parts)
    return name.suffix.lower() in SUFFIXES and not hidden


def arranged(names: Sequence[str], path: Path) -> Parts:
    """The pictures below ``path`` by part: train, test, and validation where there is one beside a test.

    Raises:
        Unusable: the layout is none of those that are read, or leaves too little.
    """
    places = [_place(name) for name in names]
    turned = [_turned_round(name) for name in names]
    if all(part for _, part, _ in turned) and "train" in {part for _, part, _ in turned}:
        places = turned
    found = {part for _, part, _ in places}
    outside = [name for name, part, _ in places if not part]
    if outside and len(found) > 1:
        raise Unusable(f"{outside[0]} in {path} lies outside the folders of its classes (train/CLASS/*): move it")
    as_parts = {_part_of(label) for _, _, label in places}  # what would the classes be as parts?
    unsorted = found == {""} and "" not in as_parts and "train" in as_parts
    if unsorted or not places or not all(label for _, _, label in places):
        raise Unusable(f"no pictures in folders named after their classes (train/CLASS/*, CLASS/*) in {path}")
    if len(found) == 1:
        places = _split(places)
    elif "train" not in found:
        raise Unusable(f"no folder train in {path}, beside those for testing and validation")
    elif "test" not in found:
        places = [(name, "train" if part == "train" else "test", label) for name, part, label in places]
    return _checked(places, path)


def _checked(places: Sequence[Place], path: Path) -> Parts:
    classes = sorted({label for _, _, label in places})
    parts: Parts = {"train": [], "test": []}
    for name, part, label in places:
        parts.setdefault(part, []).append((name, classes.index(label)))
    if not parts["train"] or not parts["test"]:
        raise Unusable(f"fewer than {TEST_EVERY} pictures of each class in {path}: too few to train and to test")
    if len(classes) == 1:
        raise Unusable(f"one class alone, {classes[0]}, in {path}: there is nothing to tell apart")
    untaught = set(range(len(classes))) - {number for _, number in parts["train"]}
    if untaught:
        raise Unusable(f"the class {classes[min(untaught)]} in {path} has no pictures for training")
    return parts


def _place(name: str) -> Place:
    """By the outermost folder that is named as a part and has one of a class in it; else by the innermost folder."""
    folders = PurePosixPath(name).parts[:-1]
    place = name, "", folders[-1] if folders else ""
    for folder, inner in pairwise(folders):
        if part := _part_of(folder):
            place = name, part, inner
            if _part_of(inner) != part:  # a zip unpacked into a folder of its own name: train/train/CLASS
                break
    return place


def _turned_round(name: str) -> Place:
    """By the innermost folder where that is named as a part and one of a class is around it: ``CLASS/train/*``."""
    label, inner = ("", "", *PurePosixPath(name).parts[:-1])[-2:]
    return name, _part_of(inner) if label else "", label


def _part_of(folder: str) -> str:
    """The part that a folder is named as; empty: none."""
    words = [word for word in re.split("[^a-z]+", folder.lower()) if word not in BESIDE]
    return PARTS.get(words[0], "") if len(words) == 1 else ""


def _split(places: Sequence[Place]) -> list[Place]:
    seen, split = Counter[str](), list[Place]()
    for name, _, label in places:
        seen[label] += 1
        split.append((name, "train" if seen[label] % TEST_EVERY else "test", label))
    return split
