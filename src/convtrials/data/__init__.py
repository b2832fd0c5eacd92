"""Sources (glyphs, EMNIST, folder, npz) -> pack -> split -> batches -> augmentation."""
