"""Names of the classes that a detector finds."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from deploy.core.errors import OptionError, WeightsError
from deploy.detectors.layout import UNKNOWN

COCO_CLASSES: tuple[str, ...] = tuple(
    """person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,stop sign,parking meter,
bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,backpack,umbrella,handbag,tie,suitcase,frisbee,skis,
snowboard,sports ball,kite,baseball bat,baseball glove,skateboard,surfboard,tennis racket,bottle,wine glass,cup,fork,
knife,spoon,bowl,banana,apple,sandwich,orange,broccoli,carrot,hot dog,pizza,donut,cake,chair,couch,potted plant,bed,
dining table,toilet,tv,laptop,mouse,remote,keyboard,cell phone,microwave,oven,toaster,sink,refrigerator,book,clock,
vase,scissors,teddy bear,hair drier,toothbrush""".replace("\n", "").split(",")
)
"""COCO's 80 classes in the order that detectors number them from 0."""

PEOPLE_AND_VEHICLES: tuple[str, ...] = ("person", "bicycle", "car", "motorcycle", "bus", "truck")
"""Of COCO's classes those that count unless others are named."""
MOST_CLASSES = 10_000


def read_class_names(path: Path) -> tuple[str, ...]:
    """A text file with a name on each line; numbers before the names, as in ``0: person``, are left out.

    Raises:
        OptionError: it cannot be read, is empty, or has a name twice.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(
            f"cannot read class names {path}: {error}", hint="Use a text file with one name per line."
        ) from None
    names = tuple(re.sub(r"^\s*\d+\s*:\s*", "", line).strip() for line in lines if line.strip())
    repeated = [name for name in names if names.count(name) > 1]
    if not names or repeated or len(names) > MOST_CLASSES:
        what = f"{repeated[0]!r} twice" if repeated else f"{len(names)} names"
        raise OptionError(
            f"class names {path}: {what}", hint="Use a text file with one name per line, in the model's order."
        )
    return names


def names_in_metadata(text: str) -> tuple[str, ...]:
    """Names as Ultralytics writes them into its files: ``{0: 'person', 1: 'bicycle'}``; none from anything else."""
    try:
        names = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return ()
    if isinstance(names, dict) and set(names) == set(range(len(names))):
        names = [names[index] for index in range(len(names))]
    if not isinstance(names, list | tuple) or len(names) > MOST_CLASSES:
        return ()
    plain = tuple(str(name) for name in names)
    return plain if len(set(plain)) == len(plain) else ()


def settle_class_names(num_classes: int, given: tuple[str, ...], in_file: tuple[str, ...] = ()) -> tuple[str, ...]:
    """A detector's class names: the given ones, those in its file, or COCO's 80 or numbers.

    Args:
        num_classes: how many its outputs have, or `UNKNOWN`.
        given: by the user.
        in_file: by the file.

    Raises:
        OptionError: as many names as classes are needed.
        WeightsError: nothing tells how many classes there are.
    """
    names = given or in_file
    if num_classes == UNKNOWN:
        if not names:
            raise WeightsError(
                "the detector's outputs do not show its number of classes",
                hint="Add --class-names FILE, one name per line in the model's order.",
            )
        return names
    if given and len(given) != num_classes:
        raise OptionError(
            f"{len(given)} class names for a detector of {num_classes} classes", hint="Check --class-names."
        )
    if len(names) == num_classes:
        return names
    return COCO_CLASSES if num_classes == len(COCO_CLASSES) else tuple(f"class-{n}" for n in range(num_classes))


def kept_by_default(names: tuple[str, ...]) -> tuple[str, ...]:
    """The classes that count unless others are named: people and vehicles of COCO's, all of any others."""
    return PEOPLE_AND_VEHICLES if names == COCO_CLASSES else names


def class_indices(wanted: tuple[str, ...], known: tuple[str, ...]) -> list[int]:
    """Indices of the named classes.

    Raises:
        OptionError: a name the detector does not know.
    """
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise OptionError(f"the detector has no class {unknown[0]!r}", hint=f"Known: {', '.join(known)}.")
    return [known.index(name) for name in wanted]
