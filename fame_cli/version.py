"""The version, in one place: `fame --version` reads it without importing anything else, and so does the build."""

__all__ = ["VERSION"]

VERSION = "0.1.0"
