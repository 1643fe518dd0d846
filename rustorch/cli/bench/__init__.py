"""The benchmark: what is measured, with whom, how, and what came of it."""
