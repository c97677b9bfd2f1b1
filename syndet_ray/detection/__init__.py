"""The detector: models, augmentation, training and scores.

It works on a machine that has neither Ray nor MLflow nor Optuna.
"""
