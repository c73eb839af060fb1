"""Regions that come with the data or are made for it: files, methods, recall."""
