"""Where a run's parameters and curves go besides its folder: TensorBoard files, MLflow, Weights & Biases."""
