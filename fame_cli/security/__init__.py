"""Who may do what, and how anybody can tell: credentials, keys, signatures, sealing, policy, audit (SECURITY.md)."""
