"""Comparison methods: what lrpilot is measured against."""
