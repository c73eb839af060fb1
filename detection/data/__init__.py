"""From records to batches: decoding, augmentation, resizing, and the pipelines that join them; data set conversion and
validation.
"""
