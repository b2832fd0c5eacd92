"""Which kind of source a name or a path is: a new kind gets its module here, a `Source`, and its line below."""

from pathlib import Path

from convtrials.core.errors import DataError
from convtrials.data.options import DatasetOptions
from convtrials.data.paths import typed_path
from convtrials.data.sources.base import Source
from convtrials.data.sources.tree import is_archive

#: Datasets known by name.
BUILT_IN = ("glyphs", "emnist36")
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
    if source == "glyphs":
        from convtrials.data.sources.glyphs import GlyphsSource

        samples = options.samples_per_class
        return GlyphsSource() if samples is None else GlyphsSource(samples)
    if source == "emnist36":
        from convtrials.data.sources.emnist import EmnistSource

        return EmnistSource()
    path = typed_path(source)
    try:
        found = _source_at(path)
    except OSError as error:
        raise DataError(f"{error.filename or path}: {error.strerror}") from error
    if found is not None:
        return found
    names = " and ".join(BUILT_IN)
    raise DataError(f"{source}: no such file or folder, and not a built-in dataset ({names})")


def _source_at(path: Path) -> Source | None:
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
        from convtrials.data.sources.folder import FolderSource

        return FolderSource(ArchiveTree(path))
    if path.is_dir():
        from convtrials.data.sources.idx_folder import IdxSource, idx_folder

        if holder := idx_folder(path):
            return IdxSource(holder)
        from convtrials.data.sources.npz import ArraySource, array_files

        if array_files(path):
            return ArraySource(path)
        from convtrials.data.sources.folder import FolderSource
        from convtrials.data.sources.tree import DiskTree

        return FolderSource(DiskTree(path))
    if path.is_file():
        raise DataError(
            f"{path}: not a dataset; allowed are a folder, an archive (.zip, .tar, .tar.gz, ...), an .npz or .mat file"
        )
    return None
