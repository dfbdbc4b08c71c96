"""Recipes, each run with `python -m scripts.NAME`."""
