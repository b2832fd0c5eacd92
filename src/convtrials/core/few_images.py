"""How few images are too few: one rule wherever counts of images are reported."""

from collections.abc import Mapping, Sequence

#: For a class with fewer test images than this, no recall is reported: with 10 images, half of them
#: right, the 95% interval of its recall goes from 19% to 81%.
FEWEST_OF_A_CLASS = 10

#: On a split of fewer images than this an accuracy says little: with 100 images, half of them right, its 95% interval
#: goes from 40% to 60%.
FEWEST_OF_A_SPLIT = 100


def few_images(counts: Mapping[str, int]) -> dict[str, int]:
    """Return the classes with fewer than `FEWEST_OF_A_CLASS` images and their counts, in the order of the classes."""
    return {name: int(count) for name, count in counts.items() if count < FEWEST_OF_A_CLASS}


def few_images_sentence(few: Mapping[str, int]) -> str:
    """Say in a sentence that of these classes, with these numbers of test images, nothing can be said."""
    if len(few) == 1:
        [(name, count)] = few.items()
        images = f"{count or 'no'} test image{'' if count == 1 else 's'}"
        return f"{name} has {images}: too few to say how well it is recognised."
    named = listed([f"{name} ({count})" for name, count in few.items()])
    return (
        f"{len(few)} classes have fewer than {FEWEST_OF_A_CLASS} test images, too few to say how well each is "
        f"recognised: {named}."
    )


def interval_of_share(right: int, images: int) -> tuple[float, float]:
    """Return the exact 95% interval of a share.

    Parameters
    ----------
    right, images : int
        So many of so many; at least one image.

    Returns
    -------
    low, high : float
        From 0 to 1.

    References
    ----------
    Clopper, Pearson: The use of confidence or fiducial limits illustrated in the case of the binomial, 1934.
    """
    from scipy.stats import beta  # late: it takes half a second to import

    low = 0.0 if right == 0 else float(beta.ppf(0.025, right, images - right + 1))
    high = 1.0 if right == images else float(beta.ppf(0.975, right + 1, images - right))
    return low, high


def listed(names: Sequence[str], most: int = 8) -> str:
    """Return ``a, b, c``; of many names the first few, and how many more there are."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
