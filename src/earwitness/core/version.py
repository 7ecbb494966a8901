"""The version of this package: a source tree that nobody installed has no metadata to ask."""

VERSION = "0.2.0"
