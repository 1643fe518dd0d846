"""The version of the distribution `rustorch`, of which this package is the core."""

__version__ = "0.1.0"
