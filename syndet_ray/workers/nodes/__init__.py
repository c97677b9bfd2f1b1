"""Nodes: the machines of a cluster, which of them may work for a run, and how many trials fit."""
