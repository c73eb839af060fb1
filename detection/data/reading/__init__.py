"""Reading of records: shards, framing, decoding, labels, and the input pipelines that produce batches."""
