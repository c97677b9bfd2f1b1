"""One file per annotation format that datasets are converted to.

Each module has `write(dataset, folder, losses, progress, copying)`.
"""
