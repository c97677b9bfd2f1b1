"""One file per annotation format.

Each module has `files(folder)` and `read(folder, files by split)`.
"""
