"""The study: proposes recipes, records trials, decides what is pruned."""
