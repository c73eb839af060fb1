"""What stands below `object_detection.builders` in the TF Object Detection API."""
