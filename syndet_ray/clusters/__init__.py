"""Clusters that a file describes: checks the file, and starts and follows runs there."""
