"""takt: an open, real-time vision-language-action stack."""

__version__ = "0.1.0"
