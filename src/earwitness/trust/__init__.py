"""Doubt: measures of whether an attribution may be believed."""
