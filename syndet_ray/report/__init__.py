"""Sentences, figures and HTML pages on one run or several."""
