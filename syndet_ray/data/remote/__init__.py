"""Datasets elsewhere: copies of what lies on S3 or on a web server.

Each is made once a node, in its cache.
"""
