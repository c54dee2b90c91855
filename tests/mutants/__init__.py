"""Small deliberate defects, and the evidence that finds each."""
