"""Parts of `scripts.build_attention_page`, one section's measurements a file."""
