"""How each kind of `textkit.Tokenizer` divides a text; in the graph."""
