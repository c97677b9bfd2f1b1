"""Sentences, figures and HTML pages on one run or several."""

import logging

# If the home folder cannot be written, Matplotlib takes a temporary one, and says so in two long
# lines each time that it is imported.
logging.getLogger("matplotlib").addFilter(lambda record: record.levelno > logging.WARNING)
