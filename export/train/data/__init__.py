"""From pictures and labels to batches of crops."""
