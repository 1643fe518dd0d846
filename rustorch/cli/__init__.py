"""The commands of `rustorch`, one module for each that belong together."""
