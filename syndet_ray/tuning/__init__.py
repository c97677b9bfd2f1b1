"""The search: study, pruner, trials on Ray Tune, MLflow tracking, and the run that ties them together."""
