"""The one place that names the version of fanflow."""

__version__ = "0.1.0"
