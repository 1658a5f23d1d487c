"""What outlives a process: the messages a node answers for, in one file. Nothing here knows what a link is."""
