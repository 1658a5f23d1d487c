"""The checks of ``fame doctor``: what may be wrong with a set-up, one module for each kind.

A check is a plain function over a `case.Case`, or over one `case.Subject` of it, that returns findings
(``findings.py``). It runs in a thread of its own, so it may block; `bounds.gathered` waits for it no longer than it may
take. It changes nothing: what it reads it leaves as it was. Verdicts that need no more than figures are functions of
their own, over `machine.Machine` where the figures are this machine's.

Importing this package imports nothing else.
"""
