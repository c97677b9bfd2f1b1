"""Settings of other tools, translated into a sweep file."""
