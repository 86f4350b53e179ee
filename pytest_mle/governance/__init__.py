"""What people decide: evidence and sign-offs."""
