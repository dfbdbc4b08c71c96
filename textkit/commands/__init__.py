"""The commands of `textkit`, by the data they work on; `textkit.cli` assembles them."""
