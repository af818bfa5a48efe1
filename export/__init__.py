"""The integer model, its executors, writers and readers, and the proof that all give the same bytes."""
