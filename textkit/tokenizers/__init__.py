"""The parts of `textkit.Tokenizer`: each kind, special tokens, folders and learning."""
