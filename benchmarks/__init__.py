"""Figures of speed and cost, each with the command that makes it."""
