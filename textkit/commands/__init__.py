"""What the command `textkit` does, by what is given to it; `textkit.cli` puts it together."""
