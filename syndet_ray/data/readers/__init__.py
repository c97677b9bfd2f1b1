"""One file per annotation format; each reads a folder or file into sources by split."""
