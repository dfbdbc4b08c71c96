"""Importers of published weights."""
