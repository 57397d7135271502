"""Which result a sentence gives, where nothing marks it: never any number that happens to be in it."""

import re

from stillhouse.verify.notation import clean, plain_symbols

MAX_SENTENCE_CHARS = 400

_SENTENCE_END = re.compile(r"(?<=[.!?])[\"')*]*\s+(?=\S)|\n")
_CLAUSE_END = re.compile(
    r",\s+(?![^(\[{]{0,80}[)\]}])|\bso\s+(?:that\s+)?|\b(?:therefore|thus|hence)\b,?|;\s",
    re.IGNORECASE,
)
_REASON = re.compile(
    r",?\s+\(?(?:because|since|as|which is why|given that)\s+(?=[A-Za-z\d$\\]).*$",
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
    r"paid|takes?|took|needs?|needed|earns?|earned|spends?|spent|leaves?|leaving|left with|remains?|becomes?|became|"
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
    r"either|between|more than|less than|fewer than|at least|at most|greater than|over|under|up to|instead of|"
    r"rather than)\b",
    re.IGNORECASE,
)
_OPERATOR_BEFORE = re.compile(
    r"(?:\b(?:times|plus|minus|of|by|from|to|than|and|over|with|adding|add)|[-+*/×÷])\s*$",
    re.IGNORECASE,
)
_RELATION = re.compile(r"(?<![<>!=])=|\\approx|≈|~")


def last_statement(text: str) -> str:
    """Return the last sentence of a text, without asides in brackets and without what it rejects (7, not 9)."""
    lines = [line for line in text.strip().splitlines() if line.strip(" *$.")]
    last = lines[-1] if lines else ""
    sentences = [
        part for part in _SENTENCE_END.split(last[-MAX_SENTENCE_CHARS:]) if part.strip(" *$.")
    ]
    return _ASIDE.sub("", without_reason(sentences[-1].rstrip(" .!"))) if sentences else ""


def without_reason(text: str) -> str:
    """Return a statement without the reason that follows it and the value that it rejects."""
    text = plain_symbols(text).strip().replace("**", "").rstrip(" .;:,")
    return _REJECTED.sub("", _REASON.sub("", text)).strip()


def stated_results(statement: str) -> list[str]:
    """Return the formulas that a statement may give as its result, the most complete first; none where it gives none.

    A result ends the last clause (a unit or noun may follow) and comes after a verb such as `is` or `costs`, after an
    equals sign, after a label (`A:`), or is all there is. A clause with `not`, `more than` or `if` gives none.
    """
    clauses = [clause for clause in _CLAUSE_END.split(statement) if clause and clause.strip(" .*$")]
    if not clauses:
        return []
    clause = clauses[-1].strip()
    if _HEDGE.search(clause):
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
    currency = re.search(r"(?:(?<!\\)\$|\\\$|€|£)\s*\d[\d,.]*(?:\s+[a-z]+){0,4}$", clause)
    if currency and not relation:
        found.append(currency[0])
    return found


def _begins_formula(clause: str) -> bool:
    return bool(re.match(r"[-+$\\¤€£(\[{|√]|\.?\d|[A-Za-z]\s*[=^(]|[A-Za-z]$", clause))


def _with_left_side(clause: str, first: int, last: int) -> list[str]:
    """Return an equation at the end of a clause from where its left side begins; its right side where that is cut."""
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


def cleaned(text: str) -> str:
    """Return a candidate without what may follow a result in prose: a closing bracket, a mark of a formula."""
    return clean(text.strip().strip("*").rstrip(".;:,"))
