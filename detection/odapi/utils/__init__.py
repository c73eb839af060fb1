"""What stands below `object_detection.utils` in the TF Object Detection API."""
