"""From record files to batches: shards, framing, decoding, labels, and the pipelines that join them."""
