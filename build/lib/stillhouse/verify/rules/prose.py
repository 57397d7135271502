"""Finds the result that a sentence states without a mark; a number that only occurs in the sentence is not a result."""

import re

from stillhouse.verify.rules.notation import clean, plain_symbols, unstopped

MAX_SENTENCE_CHARS = 400

_SENTENCE_END = re.compile(r"(?<=[.!?])[\"')*]*\s+(?=\S)|\n")
_CLAUSE_END = re.compile(
    r",\s+(?![^(\[{]{0,80}[)\]}])|\bso\s+(?:that\s+)?|\b(?:therefore|thus|hence)\b,?|;\s",
    re.IGNORECASE,
)
_REASON = re.compile(
    r",?(?<!times)\s+\(?(?:because|since|as|which is why|given that)\s+(?=[-A-Za-z\d$\\]).*$",
    re.IGNORECASE | re.DOTALL,
)
_REJECTED = re.compile(
    r",?\s*(?:and |but )?not\s+(?:[-$\\]*[\d.,/]+\$?|(?:option )?\(?[A-Z]\)?)\s*$"
)
_ASIDE = re.compile(
    r"(?<=\S)\s+\((?=[^()]*[a-z]{2}[^()]*\s)(?![^()]*\\)[^()]*\)\s*$"
)  # (see step 7)
_LABEL = re.compile(r"^(?:[A-Z]|[A-Za-z][A-Za-z ]{2,30}):\s*(?=\S)")
_RESULT = re.compile(
    r"\b(?:is|are|was|were|be|being|equals?|equal to|gives?|gave|gets?|got|getting|yields?|has|have|had|makes?|made|"
    r"making|costs?|pays?|"
    r"paid|takes?|took|(?:takes|took|costs?|gives?|leaves?|pays?)\s+(?-i:[A-Z])[a-z]+|"
    r"needs?|needed|earns?|earned|spends?|spent|leaves?|leaving|left with|remains?|becomes?|became|"
    r"totals?|totaling|"
    r"sells?|sold|buys?|bought|saves?|saved|weighs?|measures|contains?|requires?|receives?|collects?|owes?|runs?|"
    r"drives?|"
    r"travels?|eats?|ate|reads?|obtain|obtains|find|finds|found|have left|conclude that)\s+"
    r"(?:(?:then|therefore|thus|also|now|still|exactly|only|just|about|approximately|equal to|a total of|a|the|him|"
    r"her|it|them|us|"
    r"me|you|there|that|be|is)\s+)*(?=[-+$\\¤€£(\[{|√]|\.?\d|[A-Za-z]\s*=|(?:{words})\b)".replace(
        "{words}",
        "zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|eighteen|"
        "nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|minus|negative|no solution|pi|undefined",
    ),
    re.IGNORECASE,
)
_HEDGE = re.compile(
    r"\b(?:not|n't|never|cannot|can't|isn't|neither|nor|if|unless|unsure|sure|wrong|incorrect|too|might|maybe|"
    r"perhaps|could|guess|"
    r"let|suppose|assume|assuming|"
    r"either|between|more than|less than|fewer than|at least|at most|greater than|over|under|up to|instead of|"
    r"rather than)\b",
    re.IGNORECASE,
)
_OPERATOR_BEFORE = re.compile(
    r"(?:\b(?:times|plus|minus|of|by|from|to|than|and|over|with|adding|add)|[-+*/×÷])\s*$",
    re.IGNORECASE,
)
_CIRCUMSTANCE = re.compile(
    r"\s*(?:since|as|if|when|because|from|with|substituting|using|given|for|let|where|after|at|in|on|by|before|of|while)\b",
    re.IGNORECASE,
)
_ITEM = re.compile(
    r"(?:(?:and|or)\s+)?\$?\s*(?:[A-Za-z](?:_\{?\w{1,3}\}?)?\s*=\s*)?[-+]?\s*(?:\\[a-z]|[\d.(√])"
)
_DISPLAYED = re.compile(
    r"(?:^|[.\n])(?P<said>[^.\n]{0,200}\b(?:is|are|be|equals?|get|have|gives?)(?: (?:then|therefore|thus))?):?\s*"
    r"(?:\\\[|\$\$)(?P<formula>(?:(?!\\\]|\$\$).){1,200})(?:\\\]|\$\$)\s*\.?$",
    re.DOTALL | re.IGNORECASE,
)
_ITALIC = re.compile(r"(?<![\w*)])\*([^*\n]{1,40})\*(?![\w*(])")
_IS = re.compile(r"\b(?:is|are|equals)\b")
# Before the verb these words are part of the subject (the difference between 8 and 4 is 4); after it they limit the
# value.
_COMPARISON = re.compile(
    r"\b(?:between|over|under|more than|less than|greater than|fewer than|at least|at most)\b"
)
_COMPARED = re.compile(r"\s*(?:more|less|fewer|times|of|out)\b")
_EACH = re.compile(r"\b(?:each|every|per|most|least|minimum|maximum|worst|best)\b", re.IGNORECASE)
_VERB = re.compile(
    r"\b(?:fails?|works?|is|are|was|were|has|have|had|can|does|do|did|will|would)\b", re.IGNORECASE
)
_BOLD = re.compile(r"\*\*([^*\n]{1,100})\*\*")
_ADVERBIAL = re.compile(
    r"([-+]?\s*[$¤€£]?\s*\d[\d,.]*(?:\s+[a-z]{2,}){0,2}?)\s+(?:for|to|in|at|on|from|of|during|after|before|with)\s+[^\d]{1,80}$",
    re.IGNORECASE,
)
_RELATION = re.compile(r"(?<![<>!=])=|\\approx|≈|~")


def last_statement(text: str) -> str:
    """Return the last sentence of a text, without remarks in brackets and without rejected values (7, not 9)."""
    lines = [line for line in text.strip().splitlines() if line.strip(" *$.")]
    last = lines[-1] if lines else ""
    sentences = [
        part for part in _SENTENCE_END.split(last[-MAX_SENTENCE_CHARS:]) if part.strip(" *$.")
    ]
    return _ASIDE.sub("", without_reason(unstopped(sentences[-1], " .!"))) if sentences else ""


def without_reason(text: str) -> str:
    """Return a statement without a following reason and without a rejected value."""
    text = _ITALIC.sub(r"\1", unstopped(plain_symbols(text).strip().replace("**", "")))
    return _REJECTED.sub("", _REASON.sub("", text)).strip()


def stated_results(statement: str) -> list[str]:
    """Return the formulas that a statement may give as its result, the most complete one first.

    A result is at the end of the last clause; a unit or noun may follow. It comes after a verb such as `is` or `costs`,
    after an equals sign or after a label (`A:`), or it is the whole clause. A clause with `not`, `more than` or `if`
    has no result.
    """
    clause = _last_clause(statement)
    if not clause or not is_certain(clause):
        return []
    label = _LABEL.match(clause)
    if label:
        clause = clause[label.end() :]
        return [clause]
    found = [clause] if _begins_formula(clause) else []
    relation = list(_RELATION.finditer(clause))
    if relation:
        found.extend(_with_left_side(clause, relation[0].start(), relation[-1].end()))
    results = list(_RESULT.finditer(clause))
    if results and not relation:
        found.append(clause[results[-1].end() :])
    elif results and results[-1].start() > relation[-1].end():
        found.insert(0, clause[results[-1].end() :])  # the asymptote of y = 1/x is 0
    currency = re.search(r"(?:(?<!\\)\$|\\\$|€|£)\s*\d[\d,.]*(?:\s+[a-z]+){0,4}$", clause)
    if currency and not relation:
        found.append(currency[0])
    return found


def bold_result(text: str) -> list[str]:
    """Return the formulas in bold type in the last line, if no number follows and the line does not negate them."""
    lines = [line for line in text.splitlines() if line.strip(" *$.")]
    found = list(_BOLD.finditer(lines[-1])) if lines else []
    if not found:
        return []
    before, inside, after = (
        lines[-1][: found[-1].start()],
        found[-1][1],
        lines[-1][found[-1].end() :],
    )
    sentence = _SENTENCE_END.split(before)[-1] or ""
    if (
        re.search(r"\d", after)
        or _COMPARED.match(after)
        or _HEDGE.search(f"{sentence} {inside}{after}")
    ):
        return []
    if inside.rstrip().endswith(":") or not re.search(r"\d", inside):
        return []
    if _OPERATOR_BEFORE.search(sentence.replace("*", "")):
        return []
    return stated_results(inside) if re.match(r"\W*[A-Za-z]{2,}", inside) else [inside]


def displayed_result(text: str) -> list[str]:
    """Return the formula on its own line at the end, if the text before states that it is the result."""
    found = _DISPLAYED.search(text.strip())
    return [found["formula"]] if found and is_certain(found["said"]) else []


def shortened(text: str) -> str | None:
    """Return a number with its noun, without a phrase of place, time or purpose, as in `$64 for the glasses`."""
    found = _ADVERBIAL.match(text.strip())
    return found[1] if found and not _EACH.search(text) else None


def _last_clause(statement: str) -> str:
    """Return the text after the last comma, `so` or `therefore`; a list is not split at its commas."""
    start = 0
    for found in _CLAUSE_END.finditer(statement):
        before, after = statement[start : found.start()], statement[found.end() :]
        if not after.strip(" .*$"):
            break
        if found[0].startswith(",") and _goes_on(before, after):
            continue
        start = found.end()
    return statement[start:].strip()


def _goes_on(before: str, after: str) -> bool:
    """Return whether a comma separates two items of a list of values: `1, 2, and 3`, `x = 1, y = 2`."""
    item = after.split(",")[0]
    return (
        re.search(r"(?:[\d)}\]$]|\.\.\.|\\l?dots)\s*$", before) is not None
        and _CIRCUMSTANCE.match(before) is None
        and _ITEM.match(item) is not None
        and item.count("=") == len(re.findall(r"(?<![\w)}])[A-Za-z](?:_\{?\w{1,3}\}?)?\s*=", item))
    )


def _begins_formula(clause: str) -> bool:
    return bool(re.match(r"[-+$\\¤€£(\[{|√]|\.?\d|[A-Za-z]\s*[=^(]|[A-Za-z]$", clause))


def _with_left_side(clause: str, first: int, last: int) -> list[str]:
    """Return an equation at the end of a clause with its left side, or its right side if the left side is cut off."""
    starts = [found.end() for found in re.finditer(r"^|\s+", clause[:first].rstrip())]
    found = []
    for start in starts:
        if re.match(r"[A-Za-z]{2,}", clause[start:]) and not re.match(
            r"(?:sqrt|sin|cos|tan|log|ln)\b", clause[start:]
        ):
            continue
        if _OPERATOR_BEFORE.search(clause[:start]) and start:
            found.append(clause[last:])
            break
        found.append(clause[start:])
        break
    else:
        found.append(clause[last:])
    return found


def without_aside(text: str) -> str:
    """Return a result without a remark in brackets or after a semicolon: `10 (see above)`, `10; the other is -3`."""
    text = re.sub(r";\s+[A-Za-z]{2,}.*$", "", text, flags=re.DOTALL)
    aside = _ASIDE.search(text)
    if aside is None or not is_certain(aside[0]) or re.match(r"\s*\((?:mod|base|in)\b", aside[0]):
        return text
    return text[: aside.start()]


def is_certain(statement: str) -> bool:
    """Return whether a statement contains no word of negation, doubt or limitation."""
    verbs = list(_IS.finditer(statement))
    subject = statement[: verbs[-1].start()] if verbs else ""
    said = _COMPARISON.sub("", subject) + statement[len(subject) :]
    return _HEDGE.search(said) is None and not statement.endswith("?")


def is_bare(line: str) -> bool:
    """Return whether a line contains no verb and no word of negation or doubt."""
    return is_certain(line) and _VERB.search(line) is None


def without_possessive(text: str) -> str:
    """Return a text without apostrophes in words, which are not primes of a function."""
    return text if "\\" in text else re.sub(r"(?<=[a-z]{3})['’](?:s\b|(?=\s))", "", text)


def cleaned(text: str) -> str:
    """Return a candidate without what may follow a result in prose: a closing bracket, a formula delimiter."""
    return clean(unstopped(text.strip().strip("*")))
