"""Which files are images by their names: those that the installed Pillow can decode."""

#: Formats that Pillow knows by name but that are no pictures to learn from, or that it cannot decode by itself:
#: documents (PostScript would start another program), video, vector drawings, and containers of data.
_LEFT_ALONE = frozenset({"BUFR", "EPS", "FLI", "GRIB", "HDF5", "IPTC", "MPEG", "PDF", "WMF"})
#: A Pillow built without them does not list their endings; such a file is then bad, with the reason, not a stranger.
_ALWAYS = frozenset({".avif", ".webp"})


def image_endings() -> frozenset[str]:
    """Return the endings, lower-case with their dot, of files that are taken for images.

    Returns
    -------
    frozenset of str
        Other files are left alone, counted by packing, and named by ``convtrials data check``.
    """
    from PIL import Image

    # Loads every decoder, which takes a moment: asked for by walks over a folder, not by opening a pack.
    by_ending = Image.registered_extensions()
    # A multi-picture .mpo is opened as the JPEG that it begins with.
    decoded = (Image.OPEN.keys() | {"MPO"}) - _LEFT_ALONE
    return _ALWAYS | {ending for ending, kind in by_ending.items() if kind in decoded}
