"""What ``fame up``, ``ps``, ``logs`` and ``down`` stand on: the nodes of one fabric file as processes of this machine.

`plan` turns a fabric into tasks, `processes` starts and stops one of them, `state` remembers them on disk, `logs`
reads what they say, `launch` brings them all up in order. Nothing here prints or reads a configuration file.
"""

import os

from fame_cli.errors import UsageError

if os.name == "nt":  # sessions, SIGTERM and file locks are what this is made of
    raise UsageError(
        "fame up needs Linux, macOS or another Unix", hint="run the nodes one by one: fame sentinel --help"
    )
