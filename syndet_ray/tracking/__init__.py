"""Copies of a run for others: MLflow, TensorBoard, optuna-dashboard, S3."""
