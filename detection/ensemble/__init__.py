"""Ensembles of models: detections are stored, merged and measured, and members selected (survey, section 4.2)."""
