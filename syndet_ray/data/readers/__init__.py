"""One file per annotation format.

Each module says `files(folder)` and `read(folder, files by split)`.
"""
