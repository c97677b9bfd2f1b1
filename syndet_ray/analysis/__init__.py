"""Numbers of a run: selection, scores, response, importance. No sentences."""
