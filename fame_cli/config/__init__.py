"""Configuration: YAML and environment in, one frozen model out.

The way of a file: ``document`` (text → tree, every value with its place) → ``interpolate`` (``${NAME}`` in values) →
``naylence`` (the nested form made flat) → ``overlay`` (variables and flags laid over it) → ``validate`` against
``schema`` (pydantic) → a config. ``load`` ties these together and is the only module that looks at files. ``plain``
gives a client without a file its settings without any of that; it alone looks at the process's environment. Nothing
here opens a socket or starts a node; ``build`` turns a config into a node.

Importing this package imports nothing else, so that ``fame --help`` stays quick.
"""
