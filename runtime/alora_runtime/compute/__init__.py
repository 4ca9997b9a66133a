"""The forward pass: batches in, rows and logits out."""
