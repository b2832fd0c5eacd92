"""Which kind of source a name or a path is: a new kind gets its module here, a `Source`, and its line below."""

from dataclasses import replace
from pathlib import Path

from convtrials.core.errors import DataError
from convtrials.data.options import DatasetOptions
from convtrials.data.paths import typed_path
from convtrials.data.sources.base import READING, Source
from convtrials.data.sources.table_candidates import TABLE_ENDINGS, find_candidates
from convtrials.data.sources.tree import FileTree, is_archive

#: Datasets known by name.
BUILT_IN = ("glyphs", "emnist36")
#: How the location of a pack made of a data frame begins.
FRAME = "data frame "
#: A folder with one of these may be a copy of EMNIST; others need not import what downloads it.
_EMNIST_SIGNS = ("emnist-balanced-*", "gzip", "gzip.zip")


def find_source(source: str | Path, options: DatasetOptions | None = None) -> Source:
    """Say what kind of source a name or path is.

    Parameters
    ----------
    source : str or Path
        As for `load_dataset`.
    options : DatasetOptions, optional
        Those that say how a source is to be read.

    Returns
    -------
    Source
        Nothing of it is read yet beyond names.
    """
    options = options or DatasetOptions()
    if options.val is not None or options.test is not None:
        from convtrials.data.sources.joined import JoinedSource

        alone = replace(options, val=None, test=None)
        places = {0: source, 1: options.val, 2: options.test}
        return JoinedSource(
            {code: find_source(place, alone) for code, place in places.items() if place is not None}
        )
    if source == "glyphs":
        from convtrials.data.sources.glyphs import GlyphsSource

        samples = options.samples_per_class
        return options_fit(GlyphsSource() if samples is None else GlyphsSource(samples), options)
    if source == "emnist36":
        from convtrials.data.sources.emnist import EmnistSource

        return options_fit(EmnistSource(), options)
    if str(source).startswith(FRAME):
        raise DataError("the data was made of a data frame; make it again: Dataset.from_frame(...)")
    path = typed_path(source)
    try:
        found = _source_at(path, options)
    except OSError as error:
        raise DataError(f"{error.filename or path}: {error.strerror}") from error
    if found is not None:
        return options_fit(found, options)
    names = " and ".join(BUILT_IN)
    raise DataError(f"{source}: no such file or folder, and not a built-in dataset ({names})")


def options_fit(found: Source, options: DatasetOptions) -> Source:
    """Refuse options that say how a source is read where it is of a kind that does not heed them."""
    for name in READING:
        value = getattr(options, name)
        if value is not None and value != {} and name not in found.takes:
            raise DataError(f"{name}: {_MEANINGLESS[name].format(found.location)}")
    return found


_MEANINGLESS = {
    "columns": "{} is no table",
    "fold": "{} is no table",
    "labels_from_names": "{} is no folder or archive of image files",
    "bits": "{} has pixels of 8 bits; leave it out",
}


def _source_at(path: Path, options: DatasetOptions) -> Source | None:
    """The source at a path; None where nothing is."""
    if path.is_file() and path.suffix.lower() == ".npz":
        from convtrials.data.sources.npz import ArraySource

        return ArraySource(path)
    # Before the general IDX folder, which would keep the lower-case classes.
    if path.suffix.lower() == ".zip" or any(next(path.glob(sign), None) for sign in _EMNIST_SIGNS):
        from convtrials.data.sources.emnist import EmnistSource, find_emnist

        if find_emnist(path) is not None:
            return EmnistSource(path)
    if path.is_file() and path.suffix.lower() == ".mat":
        from convtrials.data.sources.mat import MatSource

        return MatSource(path)
    if path.is_file() and is_archive(path):
        from convtrials.data.sources.archive import ArchiveTree

        return _in_tree(ArchiveTree(path), options)
    if path.is_dir():
        from convtrials.data.sources.idx_folder import IdxSource, idx_folder

        if holder := idx_folder(path):
            return IdxSource(holder)
        from convtrials.data.sources.npz import ArraySource, array_files

        if array_files(path):
            return ArraySource(path)
        from convtrials.data.sources.tree import DiskTree

        return _in_tree(DiskTree(path), options)
    if path.is_file() and path.name.lower().endswith(TABLE_ENDINGS):
        from convtrials.data.sources.table_find import table_at

        return table_at(path, options)
    if path.is_file():
        raise DataError(
            f"{path}: not a dataset; allowed are a folder, an archive (.zip, .tar, .tar.gz, ...), a table (.csv, .tsv, "
            ".jsonl, .parquet), an .npz or .mat file"
        )
    return None


def _in_tree(tree: FileTree, options: DatasetOptions) -> Source:
    """The source that a folder or an archive holds: a table of images, or class folders."""
    from convtrials.data.sources.folder import FolderSource

    folder = FolderSource(tree, options.classes or (), options.labels_from_names)
    if options.labels_from_names is None:
        candidates = find_candidates(tree)
        if candidates.sets:
            from convtrials.data.sources.table_find import table_in

            table, folder.remarks = table_in(tree, candidates, options)
            if table is not None:
                return table
    return folder
