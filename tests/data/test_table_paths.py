"""Tables that name image files: columns, places, and what is refused."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from little_tables import CLASSES, PIXELS, check_pixels, labels, refusal, write_csv, write_images
from PIL import Image

from convtrials.core.errors import DataError
from convtrials.data.check import check_source
from convtrials.data.export import write_split
from convtrials.data.open import load_dataset
from convtrials.data.options import DatasetOptions
from convtrials.data.sources.find import find_source


def table(folder: Path, header: list[str], *columns: list[object], home: str = "images") -> Path:
    """``folder/labels.csv`` and 40 images in a folder next to it."""
    write_images(folder / home)
    return write_csv(folder / "labels.csv", zip(*columns, strict=True), header)


NAMES = [f"{number:03d}.png" for number in range(40)]


@pytest.mark.parametrize(
    "image", ["file_name", "Filename", "image", "Image_ID", "img", "path", "filepath", "id"]
)
@pytest.mark.parametrize("label", ["label", "Class", "target", "category", "species", "breed", "diagnosis"])
def test_usual_names_of_columns(tmp_path: Path, image: str, label: str) -> None:
    file = table(tmp_path, [label, "age", image], labels(), list(range(40)), NAMES)
    data = load_dataset(file)
    assert data.class_names == tuple(sorted(CLASSES))
    assert [data.class_names[code] for code in data.labels] == labels()
    check_pixels(data)
    assert f"label from column '{label}', images from column '{image}'" in data.notes


@pytest.mark.parametrize("home", ["", "images", "train", "img", "shots"])
@pytest.mark.parametrize("form", ["{}.png", "{}"])
def test_folder_and_ending_are_found_once(tmp_path: Path, home: str, form: str) -> None:
    stems = [form.format(name[:-4]) for name in NAMES]
    file = table(tmp_path, ["id", "breed"], stems, labels(), home=home)
    check_pixels(load_dataset(file))
    data = load_dataset(tmp_path)  # the folder is the table
    check_pixels(data)
    assert data.manifest["split_by"] == "convtrials"


def test_images_in_two_shards(tmp_path: Path) -> None:
    file = table(tmp_path, ["image_id", "dx"], [name[:-4] for name in NAMES], labels(), home="part_1")
    (tmp_path / "part_2").mkdir()
    for name in NAMES[20:]:
        shutil.move(tmp_path / "part_1" / name, tmp_path / "part_2" / name)
    check_pixels(load_dataset(file))


def test_a_name_with_two_endings_is_refused(tmp_path: Path) -> None:
    file = table(tmp_path, ["id", "breed"], [name[:-4] for name in NAMES], labels())
    Image.fromarray(PIXELS[0]).save(tmp_path / "images" / "004.jpg")
    assert "004 may be 004.jpg and 004.png" in refusal(file)


def test_named_columns_win_and_ambiguity_is_refused(tmp_path: Path) -> None:
    other = ["x", "y"] * 20
    file = table(tmp_path, ["file", "label", "species"], NAMES, other, labels())
    text = refusal(file)
    assert "label and species may each be the label" in text
    assert "--columns label=label" in text
    data = load_dataset(file, columns={"label": "species"})
    assert data.class_names == tuple(sorted(CLASSES))
    assert "no column 'specie' for label; did you mean species?" in refusal(file, columns={"label": "specie"})
    assert "no column of labels" in refusal(file, columns={"label": "-"})


def test_no_table_takes_no_columns(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        write_images(tmp_path / name, 4)
    assert "is no table" in refusal(tmp_path, columns={"label": "x"})
    assert "is no table" in refusal(tmp_path, fold="1")


def test_missing_files(tmp_path: Path) -> None:
    file = table(tmp_path, ["file", "label"], [*NAMES[:-2], "no.png", "none.png"], labels())
    text = refusal(file)
    assert "2 of 40 rows name an image that is not there: no.png, none.png" in text
    assert "line 40" in text
    data = load_dataset(file, skip_bad=True)
    assert len(data) == 38
    assert any("2 row(s) whose image is not there are left out" in note for note in data.notes)
    assert any("2 image(s) in the same folders are named by no row" in note for note in data.notes)


def test_rows_without_label_are_left_out(tmp_path: Path) -> None:
    own = ["" if number == 3 else "nan" if number == 5 else name for number, name in enumerate(labels())]
    data = load_dataset(table(tmp_path, ["file", "label"], NAMES, own))
    assert len(data) == 38
    assert "2 row(s) without a label are left out" in data.notes


def test_one_image_in_two_rows(tmp_path: Path) -> None:
    file = table(tmp_path, ["file", "label"], [*NAMES, "000.png"], [*labels(), "cat"])
    data = load_dataset(file)
    assert len(data) == 40
    assert any("1 further row(s)" in note for note in data.notes)
    write_csv(file, zip([*NAMES, "./000.png"], [*labels(), "dog"], strict=True), ["file", "label"])
    text = refusal(file)
    assert "line 2 and line 42" in text
    assert "is cat and dog" in text


def test_one_image_in_two_splits(tmp_path: Path) -> None:
    file = table(
        tmp_path,
        ["file", "label", "split"],
        [*NAMES, "000.png"],
        [*labels(), "cat"],
        [*["train"] * 40, "test"],
    )
    assert "differs in its split" in refusal(file)


def test_numbers_as_labels(tmp_path: Path) -> None:
    codes = {
        "leading": ["007", "010", "9", "x"],
        "whole": ["1.0", "2.0", "10.0", "3.0"],
        "plain": ["9", "10", "1", "2"],
    }
    expected = {
        "leading": ("007", "010", "9", "x"),
        "whole": ("1", "2", "3", "10"),
        "plain": ("1", "2", "9", "10"),
    }
    for kind, names in codes.items():
        file = table(tmp_path / kind, ["file", "label"], NAMES, [names[n % 4] for n in range(40)])
        assert load_dataset(file).class_names == expected[kind]


def test_splits_by_words(tmp_path: Path) -> None:
    words = ["Train", "training", "train", "valid", "dev", "Validation", "TEST", "test", "train", "train"] * 4
    file = table(tmp_path, ["file", "label", "subset"], NAMES, [CLASSES[n // 10] for n in range(40)], words)
    data = load_dataset(file)
    assert data.counts() == {"train": 20, "val": 12, "test": 8}
    write_csv(file, zip(NAMES, labels(), ["0", "1"] * 20, strict=True), ["file", "label", "split"])
    assert "'0' is no split; which split a number means is unknown" in refusal(file)
    assert load_dataset(file, columns={"split": "-"}).manifest["split_by"] == "convtrials"


def test_an_absent_split_is_cut_from_train(tmp_path: Path) -> None:
    own = ["test" if number % 10 >= 8 else "train" for number in range(40)]
    file = table(tmp_path, ["file", "label", "split"], NAMES, [CLASSES[n // 10] for n in range(40)], own)
    data = load_dataset(file)
    assert data.counts()["test"] == 8
    assert data.counts()["val"] >= 4
    assert set(np.flatnonzero(data.split == 2)) == {n for n in range(40) if n % 10 >= 8}


def test_folds(tmp_path: Path) -> None:
    folds = [number // 4 % 5 for number in range(40)]
    file = table(tmp_path, ["file", "label", "fold"], NAMES, labels(), folds)
    plain = load_dataset(file)
    assert any("'fold' is not used; --fold NAME" in note for note in plain.notes)
    data = load_dataset(file, fold=3)
    np.testing.assert_array_equal(np.flatnonzero(data.split == 2), [n for n in range(40) if n // 4 % 5 == 3])
    assert data.counts()["val"] >= 4
    assert "fold 3 of column 'fold' is the test split" in data.notes
    assert "there are 0, 1, 2, 3, 4" in refusal(file, fold="7")


def test_weights(tmp_path: Path) -> None:
    weights = [number / 8 for number in range(40)]
    file = table(tmp_path, ["file", "label", "sample_weight"], NAMES, labels(), weights)
    data = load_dataset(file)
    assert data.weights is not None
    assert data.weights.dtype == np.float32
    np.testing.assert_array_equal(data.weights, np.array(weights, np.float32))
    for wrong in ("-1", "nan", "", "inf", "heavy", "1e300"):
        write_csv(
            file, zip(NAMES, labels(), [*weights[1:], wrong], strict=True), ["file", "label", "sample_weight"]
        )
        text = refusal(file)
        assert "line 41, column sample_weight" in text
        assert "0 or more" in text


def test_kilograms_are_no_weights(tmp_path: Path) -> None:
    file = table(tmp_path, ["file", "label", "weight"], NAMES, labels(), [4.5] * 40)
    data = load_dataset(file)
    assert data.weights is None
    assert any("'weight' is not used" in note for note in data.notes)
    assert load_dataset(file, columns={"weight": "weight"}).weights is not None


def test_groups_stay_whole(tmp_path: Path) -> None:
    people = [f"p{number // 4}" for number in range(40)]
    file = table(tmp_path, ["file", "label", "patient_id"], NAMES, labels(), people)
    data = load_dataset(file)
    assert data.groups is not None
    assert data.groups_are_sampled
    assert data.group_kind == "patient"
    for group in range(len(data.group_names)):
        assert len(set(data.split[data.groups == group])) == 1


def test_a_group_in_two_splits_is_found(tmp_path: Path) -> None:
    people = [f"p{number // 4}" for number in range(40)]
    own = [("train", "train", "val", "test")[number % 4] for number in range(40)]
    file = table(
        tmp_path,
        ["file", "label", "patient", "split"],
        NAMES,
        [CLASSES[n // 10] for n in range(40)],
        people,
        own,
    )
    report = check_source(find_source(file))
    finding = next(one for one in report.findings if one.kind == "group-leakage")
    assert finding.summary == "leakage by group: 10 of 10 patient(s) in more than one split"
    assert finding.items[0] == "p0: 2 train, 1 val, 1 test"
    assert report.spoiled
    kept = table(tmp_path / "kept", ["file", "label", "patient"], NAMES, labels(), people)
    assert not any(one.kind == "group-leakage" for one in check_source(find_source(kept)).findings)


def test_one_hot_columns(tmp_path: Path) -> None:
    marks = [[1.0 if number % 4 == place else 0.0 for number in range(40)] for place in range(4)]
    file = table(tmp_path, ["image", "MEL", "NV", "BCC", "AK"], [name[:-4] for name in NAMES], *marks)
    data = load_dataset(file)
    assert data.class_names == ("MEL", "NV", "BCC", "AK")
    np.testing.assert_array_equal(data.labels, np.arange(40) % 4)
    assert any("label from 4 columns of 0 and 1" in note for note in data.notes)
    marks[1][0] = 1.0
    table(tmp_path, ["image", "MEL", "NV", "BCC", "AK"], NAMES, *marks)
    assert "line 2: MEL and NV are 1; one class for each image" in refusal(file)


def test_several_labels_are_refused(tmp_path: Path) -> None:
    own = ["cat|dog" if number == 8 else name for number, name in enumerate(labels())]
    file = table(tmp_path, ["file", "label"], NAMES, own)
    assert "line 10: label 'cat|dog' names several classes" in refusal(file)
    harmless = ["cat, wild" if name == "cat" else name for name in labels()]
    assert "cat, wild" in load_dataset(table(tmp_path / "b", ["file", "label"], NAMES, harmless)).class_names


def test_absolute_paths_and_backslashes(tmp_path: Path) -> None:
    write_images(tmp_path / "far")
    there = [str(tmp_path / "far" / name) for name in NAMES]
    file = write_csv(tmp_path / "here" / "labels.csv", zip(there, labels(), strict=True), ["path", "label"])
    data = load_dataset(file)
    check_pixels(data)
    assert "40 image(s) lie outside the table's folder" in data.notes
    up = write_csv(
        tmp_path / "here" / "up.csv",
        ((f"../far/{n}", c) for n, c in zip(NAMES, labels(), strict=True)),
        ["path", "label"],
    )
    check_pixels(load_dataset(up))
    windows = write_csv(
        tmp_path / "w.csv",
        ((f"far\\{n}", c) for n, c in zip(NAMES, labels(), strict=True)),
        ["path", "label"],
    )
    check_pixels(load_dataset(windows))
    counts = write_split(file, tmp_path / "out")
    assert sum(counts.values()) == len([*(tmp_path / "out").rglob("*.png")]) == 40


def test_web_addresses_are_refused(tmp_path: Path) -> None:
    rows = [(f"https://example.org/{name}", label) for name, label in zip(NAMES, labels(), strict=True)]
    assert "not downloaded" in refusal(write_csv(tmp_path / "t.csv", rows, ["image", "label"]))


def test_split_writes_the_same_split_and_keeps_names(tmp_path: Path) -> None:
    file = table(tmp_path / "in", ["file", "label"], NAMES, labels())
    counts = write_split(file, tmp_path / "out")
    data = load_dataset(file)
    assert counts == data.counts()
    again = load_dataset(tmp_path / "out")
    assert again.counts() == data.counts()
    assert (tmp_path / "out" / "train" / "cat").is_dir()
    assert len([*(tmp_path / "out").rglob("*.png")]) == 40


def test_opened_again_without_reading_and_read_again_after_a_change(tmp_path: Path) -> None:
    file = table(tmp_path, ["file", "label"], NAMES, labels())
    first = load_dataset(file)
    assert load_dataset(file).folder == first.folder
    (tmp_path / "images" / "000.png").unlink()
    assert "000.png" in refusal(file)
    write_csv(file, zip(NAMES[1:], labels()[1:], strict=True), ["file", "label"])
    assert len(load_dataset(file)) == 39


def test_check_names_bad_files(tmp_path: Path) -> None:
    file = table(tmp_path, ["file", "label"], NAMES, labels())
    (tmp_path / "images" / "007.png").write_bytes(b"nothing")
    report = check_source(find_source(file), DatasetOptions())
    assert report.bad == 1
    assert "007.png" in report.findings[0].items[0]


def test_without_names_of_columns(tmp_path: Path) -> None:
    write_images(tmp_path / "images")
    file = write_csv(tmp_path / "t.csv", zip(NAMES, labels(), strict=True))
    check_pixels(load_dataset(file))
    three = write_csv(tmp_path / "three.csv", zip(NAMES, ["a"] * 40, labels(), strict=True))
    assert "no column of labels" in refusal(three)
    assert len(load_dataset(three, columns={"label": 2}).class_names) == 4


class TestFolders:
    def test_class_folders_win_where_a_table_names_them_too(self, tmp_path: Path) -> None:
        rows = []
        for name in CLASSES:
            rows += [(f"{name}/{own}", "all") for own in write_images(tmp_path / name, 10)]
        write_csv(tmp_path / "labels.csv", rows, ["file", "label"])
        data = load_dataset(tmp_path)
        assert data.class_names == tuple(sorted(CLASSES))
        assert any("labels.csv is not used, since folders name the classes" in note for note in data.notes)

    def test_a_table_of_one_class_does_not_win(self, tmp_path: Path) -> None:
        for name in CLASSES:
            write_images(tmp_path / name, 10)
        rows = [(f"cat/{number:03d}.png", "ab"[number % 2]) for number in range(10)]
        write_csv(tmp_path / "cats.csv", rows, ["file", "label"])
        data = load_dataset(tmp_path)
        assert data.class_names == tuple(sorted(CLASSES))
        assert any("cats.csv is not used" in note for note in data.notes)

    def test_a_table_of_one_folder_wins_over_other_folders(self, tmp_path: Path) -> None:
        file = table(tmp_path, ["file", "label"], NAMES, labels())
        write_images(tmp_path / "masks", 10)
        data = load_dataset(tmp_path)
        assert data.class_names == load_dataset(file).class_names == tuple(sorted(CLASSES))
        assert "other folders with images are not used, since the table says the labels" in data.notes

    def test_two_tables_are_refused(self, tmp_path: Path) -> None:
        table(tmp_path, ["file", "label"], NAMES, labels())
        write_csv(tmp_path / "other.csv", zip(NAMES, labels(), strict=True), ["file", "label"])
        assert "2 tables of images (labels.csv, other.csv)" in refusal(tmp_path)

    def test_answers_to_hand_in_are_no_data(self, tmp_path: Path) -> None:
        table(tmp_path, ["id", "breed"], NAMES, labels(), home="train")
        write_csv(tmp_path / "sample_submission.csv", [("x", "cat")], ["id", "breed"])
        check_pixels(load_dataset(tmp_path))

    def test_a_table_for_each_split(self, tmp_path: Path) -> None:
        write_images(tmp_path / "images")
        classes = [CLASSES[number // 10] for number in range(40)]
        for part, places in (("train", [0, 1, 2, 3, 4, 5]), ("val", [6, 7]), ("test", [8, 9])):
            rows = [(NAMES[n], classes[n]) for n in range(40) if n % 10 in places]
            write_csv(tmp_path / f"{part}.csv", rows, ["file", "label"])
        assert load_dataset(tmp_path).counts() == {"train": 24, "val": 8, "test": 8}

    def test_a_test_table_without_labels_is_left_out(self, tmp_path: Path) -> None:
        table(tmp_path, ["file", "label"], NAMES, labels()).rename(tmp_path / "train.csv")
        write_csv(tmp_path / "test.csv", [("900.png",)], ["file", "x"][:1])
        write_csv(tmp_path / "test.csv", [("900.png", 3)], ["file", "x"])
        data = load_dataset(tmp_path)
        check_pixels(data)
        assert "test.csv has no labels, and is left out" in data.notes

    @pytest.mark.parametrize("kind", ["csv", "jsonl"])
    def test_image_folders_of_hugging_face(self, tmp_path: Path, kind: str) -> None:
        for part, first in (("train", 0), ("test", 20)):
            write_images(tmp_path / part)
            rows = [(f"{n:03d}.png", CLASSES[n % 4]) for n in range(first, first + 20)]
            if kind == "csv":
                write_csv(tmp_path / part / "metadata.csv", rows, ["file_name", "label"])
            else:
                text = "\n".join(f'{{"file_name": "{name}", "label": "{label}"}}' for name, label in rows)
                (tmp_path / part / "metadata.jsonl").write_text(text)
        data = load_dataset(tmp_path)
        assert len(data) == 40
        assert data.counts()["test"] == 20
        check_pixels(data)

    def test_within_an_archive_and_a_folder(self, tmp_path: Path) -> None:
        table(tmp_path / "birds", ["file", "label"], NAMES, labels())
        check_pixels(load_dataset(tmp_path))
        for form in ("zip", "gztar"):
            archive = shutil.make_archive(str(tmp_path / "packed"), form, tmp_path, "birds")
            data = load_dataset(archive)
            check_pixels(data)
            assert any("label from column 'label'" in note for note in data.notes)
            counts = write_split(archive, tmp_path / f"out-{form}")
            assert sum(counts.values()) == 40
        outside = [f"../{name}" for name in NAMES]
        write_csv(tmp_path / "birds" / "labels.csv", zip(outside, labels(), strict=True), ["file", "label"])
        archive = shutil.make_archive(str(tmp_path / "outside"), "zip", tmp_path / "birds")
        assert "lies outside the archive" in refusal(Path(archive))

    def test_metadata_at_the_top(self, tmp_path: Path) -> None:
        table(tmp_path, ["file_name", "label"], NAMES, labels(), home="").rename(tmp_path / "metadata.csv")
        check_pixels(load_dataset(tmp_path))


def test_groups_and_a_column_cannot_both_be_given(tmp_path: Path) -> None:
    file = table(tmp_path, ["file", "label", "patient"], NAMES, labels(), labels())
    with pytest.raises(DataError, match="given twice"):
        load_dataset(file, groups=r"(\d)", columns={"group": "patient"})
