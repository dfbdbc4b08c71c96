"""Text Transformers on the layers that vitkit uses; the kit's models come with the next releases."""
