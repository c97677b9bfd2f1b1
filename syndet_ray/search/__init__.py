"""The search: proposes recipes, records trials, decides what is pruned."""
