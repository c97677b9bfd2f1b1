"""Detection: models, augmentation, training and score. Runs on a machine that has neither Ray nor
MLflow.
"""
