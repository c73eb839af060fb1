"""What several tests share: small detectors, their configs, records, references."""
