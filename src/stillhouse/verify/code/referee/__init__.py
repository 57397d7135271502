"""The program that runs inside the sandbox: it runs tests against the code of an answer and reports what happened.

Its modules are handed to an interpreter in the sandbox as byte code (`verify.code.check`); the verifying process
never imports them, and they need nothing but the standard library. The program comes in three roles:

- the *referee* (first process of the sandbox) has the tests. It evaluates asserts in a process of its own, with every
  name of the answer replaced by a proxy (`remote`).
- the *candidate* is an interpreter that runs the code of the answer and has never seen a test. It is asked over pipes
  to call this function with these arguments, and can reply with plain data and numbers of its own objects only.
- the *nursery* forks candidates. It is forked off before the first test is read and does nothing else, so that none of
  its children has a test in its memory, not even one of an earlier answer.

So what the code of an answer does to its own interpreter (exit, print, patch, overload ==, read its memory) cannot
make a test pass: only the right value can. The processes here are not dumpable, so that the same user's candidate may
not open their memory or their files.
"""
