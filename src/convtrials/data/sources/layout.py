"""Which folders of a tree are classes, which are splits, and what is neither: read from names alone, or refused."""

from convtrials.core.errors import DataError
from convtrials.data.class_names import look, shortened
from convtrials.data.sources.class_folders import DOUBTFUL, ClassFolder, Layout
from convtrials.data.sources.no_classes import (
    refuse_lookalikes,
    refuse_mostly_loose,
    refuse_no_classes,
    refuse_one,
    unknown_pictures,
)
from convtrials.data.sources.split_folders import CONTAINERS, split_folder_name
from convtrials.data.sources.split_layouts import read_split_folders, read_splits_within_classes
from convtrials.data.sources.walk import Walk


def find_layout(walk: Walk, known: tuple[str, ...] = ()) -> Layout:
    """Say what the folders of a tree are.

    Parameters
    ----------
    walk : Walk
        Every folder of the source, with the names in it.
    known : tuple of str
        Names that are classes: the level that has one of them is the level of classes.

    Raises
    ------
    DataError
        Where it cannot be said, with what was seen and what to do.
    """
    looks = {look(name) for name in known}
    place, passed = "", False
    while True:
        live = walk.live(place)
        if looks & {look(name) for name in live}:
            layout = _classes(walk, place, live, said=True)
            break
        if len(live) > 1:
            layout = _level(walk, place, live)
            break
        if not live or not walk.live(inner := walk.join(place, live[0])):
            refuse_one(walk, place, live)
        own = len(walk.folders[place].images)
        if own > walk.count(inner):
            refuse_one(walk, place, live)
        place, passed = inner, True
    refuse_mostly_loose(walk, place)
    if passed:
        layout.notes.insert(0, f"the dataset is {place}/, the only folder with images")
    layout.notes = [
        *_left_out(walk, layout),
        *layout.notes,
        *_nothing_in(walk, layout),
        *_of_tools(walk, layout),
    ]
    return layout


def _level(walk: Walk, place: str, live: list[str]) -> Layout:
    """Read a level of two folders or more."""
    layout = read_split_folders(walk, place, live) or read_splits_within_classes(walk, place, live)
    if layout is None:
        refuse_lookalikes(walk, place, live)
        layout = _classes(walk, place, live)
    return layout


def _classes(walk: Walk, place: str, live: list[str], *, said: bool = False) -> Layout:
    """Take folders as classes; `said`: because their names were given."""
    if not said:
        live = [name for name in live if look(name) != "readme"]
        refuse_no_classes(walk, place, live)
    notes = []
    deep = [name for name in live if walk.live(walk.join(place, name))]
    if deep and not said:
        notes.append(_nested_note(walk, place, live, deep))
    doubtful = [name for name in live if look(name) in DOUBTFUL | CONTAINERS or split_folder_name(name)]
    if doubtful and not said:
        notes.append(
            f"{shortened(doubtful)}: taken as a class; if it is none, name those that are: --classes NAME,NAME"
        )
    return Layout([ClassFolder(walk.join(place, name), name) for name in live], notes)


def _nested_note(walk: Walk, place: str, live: list[str], deep: list[str]) -> str:
    inner = sorted({name for outer in deep for name in walk.live(walk.join(place, outer))})
    where = walk.show(walk.join(place, deep[0]))
    return (
        f"classes are the outer folders ({shortened(live, 3)}), whatever the folders in them ({shortened(inner, 3)}); "
        f"if those are the classes: {where} alone, or --labels-from-names '([^/]+)/[^/]+$'"
    )


def _nothing_in(walk: Walk, layout: Layout) -> list[str]:
    """Name the folders without an image next to classes and splits; refuse one of pictures that cannot be read."""
    levels = {walk.parent(one.place) for one in layout.class_folders}
    levels |= {above for level in levels for above in walk.above(level)}
    empty = [
        walk.join(level, name)
        for level in sorted(levels)
        for name in walk.folders[level].folders
        if not walk.count(walk.join(level, name))
    ]
    for place in empty:
        if unknown := unknown_pictures(walk, place):
            raise DataError(
                f"{walk.show(place)}: no image that can be read in it{unknown}; convert them to PNG or JPEG, or move "
                "the folder away"
            )
    return [f"no image in {shortened(empty)}: no class"] if empty else []


def _left_out(walk: Walk, layout: Layout) -> list[str]:
    """Name the folders whose images are in no class."""
    classes = {one.place for one in layout.class_folders}
    above = {level for place in classes for level in walk.above(place)}
    notes = []
    for place in sorted(above):
        if loose := walk.folders[place].images:
            shown = f"{place}/" if place else "the outermost folder"
            notes.append(f"left out: {len(loose):,} image(s) directly in {shown}, in no class folder")
        for name in walk.folders[place].folders:
            own = walk.join(place, name)
            if own not in classes and own not in above and walk.count(own):
                notes.append(f"left out: {walk.count(own):,} image(s) in {own}/, which is no class folder")
    return notes


def _of_tools(walk: Walk, layout: Layout) -> list[str]:
    """Name the folders that systems and tools left behind, next to classes or above them."""
    above = {level for one in layout.class_folders for level in walk.above(one.place)}
    names = sorted({name for place in above for name in walk.clutter(place)})
    return [f"left out: {shortened(names, 4)}, of systems and tools, or hidden"] if names else []
