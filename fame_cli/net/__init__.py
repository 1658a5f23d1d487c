"""Bytes on wires: transports and what they share. Nothing here knows what an envelope is."""
