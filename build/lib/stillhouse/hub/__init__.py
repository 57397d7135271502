"""Publishing to the Hugging Face Hub, and pulling from it."""
