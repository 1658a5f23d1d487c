"""The pure core: ``(link, bytes, now)`` in, effects out.

Nothing here may touch a socket, a clock, a random source, a logger or a file; ids and time stamps are injected.
Start reading at ``node.py``; ``routing.py`` is the one place that decides where an envelope goes.
"""
