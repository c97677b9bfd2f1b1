"""Train, validation and test: which photo is in which, and that none is in two."""
