"""Runs tests against the code of an answer inside the sandbox, and reports the outcomes.

An interpreter in the sandbox gets these modules as byte code (`verify.code.check`). The verifying process never imports
them, and they need only the standard library. The program has three roles:

- The *referee*, the first process of the sandbox, has the tests. It evaluates asserts in a separate process, in which
  every name of the answer is replaced by a proxy (`remote`).
- The *candidate* is an interpreter that runs the code of the answer and never gets a test. The referee asks it over
  pipes to call a function with some arguments. It can reply only with plain data and numbers of its own objects.
- The *fork server* forks candidates. It is started before the first test is read and has no other task, so that no
  candidate has a test in its memory, not even a test of an earlier answer.

The code of an answer can change its own interpreter (exit, print, patch, overload ==, read its memory), but this cannot
make a test pass: only the right value can. The other processes are not dumpable, so that the candidate, which runs as
the same user, cannot open their memory or their files.
"""
