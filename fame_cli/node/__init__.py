"""The shell: one running node, and what runs in it. Performs what the core decides; decides nothing."""
