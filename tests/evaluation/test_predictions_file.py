"""A predictions file from elsewhere is read safely or refused in a line."""

import zipfile

import numpy as np
import pytest

from convtrials.core.errors import RunError
from convtrials.evaluation import predictions as module
from convtrials.evaluation import read_predictions

GOOD = {
    "probabilities": np.array([[0.75, 0.25], [0.5, 0.5]], dtype=np.float32),
    "labels": np.array([0, 1]),
    "indices": np.array([7, 3]),
}


def saved(tmp_path, **changes):
    path = tmp_path / "predictions-test.npz"
    np.savez(path, **{key: value for key, value in {**GOOD, **changes}.items() if value is not None})
    return path


def test_a_good_file_comes_back(tmp_path):
    found = read_predictions(saved(tmp_path))
    assert found.probabilities.dtype == np.float64
    assert found.probabilities.tolist() == [[0.75, 0.25], [0.5, 0.5]]
    assert found.labels.tolist() == [0, 1]
    assert found.indices.tolist() == [7, 3]
    assert found.predicted.tolist() == [0, 0]
    assert found.confidence.tolist() == [0.75, 0.5]


def test_rounding_is_allowed_and_breaks_no_tie(tmp_path):
    rough = np.array([[0.75, 0.2503], [0.75, 0.25]], dtype=np.float32)
    assert read_predictions(saved(tmp_path, probabilities=rough)).probabilities[:, 0].tolist() == [0.75, 0.75]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"labels": None}, "'labels' is missing"),
        ({"labels": np.array([0, 2])}, "0 to 1 is allowed"),
        ({"indices": np.array([1, 1])}, "at most once"),
        ({"indices": np.array([-1, 1])}, "none negative"),
        ({"indices": np.array([1])}, r"indices must be integers of shape \(2,\)"),
        ({"indices": np.array([1.0, 2.0])}, "indices must be integers"),
        ({"probabilities": np.array([[1, 0], [0, 1]])}, "floats of shape"),
        (
            {"probabilities": np.array([["a", "b"], ["c", "d"]], dtype=object)},
            "not a readable predictions file",
        ),
    ],
)
def test_wrong_arrays_are_refused_with_the_file_s_name(tmp_path, changes, said):
    with pytest.raises(RunError, match=said) as caught:
        read_predictions(saved(tmp_path, **changes))
    assert "predictions-test.npz" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(RunError, match="no such file"):
        read_predictions(tmp_path / "predictions-test.npz")


@pytest.mark.parametrize("kept", [0, 10, 200])
def test_a_cut_file_is_refused(tmp_path, kept):
    path = saved(tmp_path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(RunError, match="not a readable predictions file"):
        read_predictions(path)


def test_a_file_that_would_fill_the_memory_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "predictions-test.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("probabilities.npy", bytes(10**6))
    assert path.stat().st_size < 10**4
    monkeypatch.setattr(module, "LARGEST_FILE", 10**5)
    with pytest.raises(RunError, match="unpacks to 1,000,000 bytes"):
        read_predictions(path)


def test_a_header_that_claims_too_much_is_refused(tmp_path):
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999, 36)}".ljust(117) + b"\n"
    member = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    path = saved(tmp_path)
    with zipfile.ZipFile(path, "w") as archive:
        for name in GOOD:
            archive.writestr(f"{name}.npy", member)
    with pytest.raises(RunError, match="not a readable predictions file"):
        read_predictions(path)


def rewritten(path, change):
    """Write the archive again with other members."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in change(members).items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("name", ["indices", "indices.npy"])
def test_a_member_that_is_no_array_is_named(tmp_path, name):
    path = rewritten(saved(tmp_path, indices=None), lambda members: {**members, name: b"no array"})
    with pytest.raises(RunError, match="'indices' is not a NumPy array") as caught:
        read_predictions(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("offset", "value", "said"), [(8, 1, "encrypted"), (10, 99, "compression method"), (6, 99, "version")]
)
def test_an_archive_that_cannot_be_unpacked_is_refused(tmp_path, offset, value, said):
    path = saved(tmp_path)
    content = bytearray(path.read_bytes())
    # The central directory lists each member: flags, compression method and version stand at these offsets.
    place = content.rfind(b"PK\x01\x02") + offset
    content[place] = value
    local = content.rfind(b"PK\x03\x04")
    content[local + offset - 2] = value
    path.write_bytes(bytes(content))
    with pytest.raises(RunError, match=f"not a readable predictions file .*{said}"):
        read_predictions(path)
