"""Input data: reading, decoding, augmentation and resizing of records; conversion and validation of data sets."""
