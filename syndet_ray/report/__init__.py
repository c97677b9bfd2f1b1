"""Report: a run or several as numbers, figures of them, and one page."""
