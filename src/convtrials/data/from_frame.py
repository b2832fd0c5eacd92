"""A dataset from a pandas data frame: of paths, of pixels, or of image files in its cells."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convtrials.core.errors import DataError
from convtrials.data.options import DatasetOptions
from convtrials.data.paths import typed_path

if TYPE_CHECKING:
    from convtrials.data.dataset import Dataset


def frame_dataset(
    frame: Any,
    folder: str | Path | None,
    columns: Mapping[str, str] | None,
    workers: int | None,
    options: dict[str, Any],
) -> "Dataset":
    """Pack a data frame as `Dataset.from_frame` documents it, or open the pack that there is."""
    from convtrials.data.open import pack_source
    from convtrials.data.sources.find import FRAME, options_fit
    from convtrials.data.sources.table import first_look
    from convtrials.data.sources.table_columns import refuse_incomplete
    from convtrials.data.sources.table_files import PathTableSource, table_source
    from convtrials.data.sources.table_frame import open_frame
    from convtrials.data.sources.table_paths import LinkedTree

    wanted = DatasetOptions.make({**options, "columns": dict(columns) if columns else None})
    for name in ("val", "test"):
        if getattr(wanted, name) is not None:
            raise DataError(f"{name}: a data frame has its splits in a column; columns={{'split': NAME}}")
    place = typed_path(folder if folder is not None else ".")
    if not place.is_dir():
        raise DataError(f"{place}: no such folder")
    tree = LinkedTree(place)
    file = open_frame(tree, frame)
    table = first_look([file], [255], wanted.columns, wanted.fold)
    refuse_incomplete(table.where, table.names, table.roles)
    source = table_source(tree, table, "", skip_bad=wanted.skip_bad, transposed=False, bits=wanted.bits)
    of_files = isinstance(source, PathTableSource)
    options_fit(source, wanted)
    source.name = "frame"
    source.location = f"{FRAME}{file.digest}" + (f" of {tree.location}" if of_files else "")
    return pack_source(source, wanted, verify=False, workers=workers)
