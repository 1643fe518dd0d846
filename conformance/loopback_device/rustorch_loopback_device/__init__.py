"""A device for tests: an accelerator in all but hardware."""
