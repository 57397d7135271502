r"""Answer tags as a scorer of lighteval's reads them: like a box.

Students may be trained to write the answer between `<answer>` and `</answer>` (`student.turn_format`), and our rule
reads such an answer. lighteval's scorers do not: from `<answer>204</answer>` they extract nothing. It runs in both
environments.
"""

import re
from itertools import pairwise

from stillhouse.verify.rules.final_answer import last_boxed

_TAG = re.compile(r"<(/?)answer>", re.IGNORECASE)
# A scorer finds a formula between marks by itself, and a program between fences; a box around them would hide it.
# A dollar alone, or behind a backslash, is money.
_MARKED = re.compile(r"(?<!\\)\$.+(?<!\\)\$|\\\(|\\\[|```|\n")


def untagged(answer: str, *, boxed: bool) -> str:
    r"""Return an answer part without answer tags: the content of the last pair of them.

    Without a pair, or with a complete `\boxed{}`, it is returned as it is: as for our rule, the box is the answer.

    Args:
        answer: the answer part.
        boxed: whether the prompt asks for `\boxed{}`; content that is one line without marks of a formula is then put
            into a box, because scorers read formulas such as `\frac{1}{2}` and words only inside marks.
    """
    if last_boxed(answer) is not None:
        return answer
    tags = list(_TAG.finditer(answer))
    for begin, end in reversed(list(pairwise(tags))):
        if not begin[1] and end[1]:
            content = answer[begin.end() : end.start()].strip()
            in_box = boxed and content and not _MARKED.search(content)
            return f"\\boxed{{{content}}}" if in_box else content
    return answer
