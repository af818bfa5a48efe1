"""Advice for the Burst Advocate."""
