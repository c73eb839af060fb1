"""Exports detectors as SavedModels, and runs exported detectors on images."""
