"""Finds the option that an answer chooses.

An answer makes *claims*: a box, "the answer is C", "Therefore, C.", "C is correct", a line with a single letter. Each
claim has a strength. The last one of the strongest claims counts, unless the answer contradicts itself.
"""

import re
from typing import NamedTuple

from stillhouse.verify.rules.notation import SYMBOLS
from stillhouse.verify.rules.offered import LISTED, Options
from stillhouse.verify.rules.phrases import MACRO, tokens

HEAD_CHARS = 1000
# Of a longer answer only the beginning and this many characters of the end are read.
TAIL_CHARS = 6000
MAX_BOX_CHARS = 400  # a longer box contains no option
MOST_CLAIMS = 50  # claims of one form, from the end

_LETTER = re.compile(r"\(?([A-J])\)?\.?")

_BOX = "⟦", "⟧"
_BOXED = re.compile(r"⟦([^⟦⟧]*)⟧")
_BOX_START = re.compile(r"\\(?:boxed|fbox)\s*\{")
_TAG = re.compile(r"<answer>(.{0,400}?)</answer>", re.IGNORECASE | re.DOTALL)
_TYPE = re.compile(
    r"[✅✔☑➡👉⭐🎯\ufe0f]|"
    r"</?(?:b|strong|i|em|u|p|br)\s*/?>|\*\*|__|[`$\"“”„«»]|\\[()\[\]]|^[ \t]*#+(?=[ \t]|$)|^[ \t]*>[ \t]",
    re.MULTILINE,
)

_L = r"[(\[]?(?P<letter>[A-J])[)\]]?(?![\w'’*^_{\\])(?!\s*[=+*/^<>≈])(?!-\w)"
_END = (
    r"(?=[^\S\n]*(?:\n|$|[,;:!?)}⟧—–]|\.(?:[\s⟧]|$)|-\s|\()"
    r"|\s+(?:because|since|as|for|which|due|and\s+not|not|rather|instead|with|is\s+(?:the\s+)?(?:correct|right|best))\b)"
)
_WORD = (
    r"(?:is|be|was|would|should|must|has\s+to|have\s+to|can\s+only|will|to|therefore|thus|hence|then|so|clearly|"
    r"definitely|simply|most|likely|probably|indeed|option|choice|letter|answer|statement|number|the|correct|best|"
    r"right|only|one|here|for\s+this\s+question|to\s+this\s+question|to\s+the\s+question|ist|lautet|est|es|é|è|la|"
    r"jest|является)"
)
_LINK = rf"(?:\s*(?:[:=→]|[-–—](?=\s)|['’]s\b|是|为|為|は|选|選|\b{_WORD}\b))"
_KEY = (
    r"(?:\b(?:answer|ans\b\.?)|\b(?:correct|right|best)(?:\s+one)?(?=\s*(?:is\b|[:=]))|\b(?:sol|solution)\b|\b(?:option|choice|letter|statement|antwort|lösung|réponse|reponse|respuesta|resposta|risposta|"
    r"antwoord|svar|odpowiedź|odpowiedz|cevap|ответ)|答案|正解|回答|答え|正确选项|정답)"
)
_IT = r"(?:it|this|that)(?:['’]s|\s+(?:is|must\s+be|has\s+to\s+be|should\s+be|would\s+be|can\s+only\s+be))"
_NOUN = r"(?:(?:option|choice|letter|answer)\s+)?"

ANSWERED, CONCLUDED, CALLED_RIGHT = 3, 2, 1
_KEYED = re.compile(rf"{_KEY}s?{_LINK}{{0,8}}\s*", re.IGNORECASE)
_IS = re.compile(
    r"[:=]|\b(?:is|be|ist|lautet|est|es|é|è|jest)\b|['’]s\b|是|为|為|は", re.IGNORECASE
)
_BARE_KEY = re.compile(r"ans|[^\x00-\x7f]", re.IGNORECASE)
_CONCLUSION = re.compile(
    r"(?:\b(?:therefore|thus|hence|so|consequently|accordingly|finally|overall|in\s+conclusion|conclusion|"
    r"it\s+follows\s+that|leaving|leaves|ergo|daher|deshalb|also|donc|luego|por\s+tanto)\b|∴|因此|所以|故选|故選|选|選)"
    rf"[,:]?\s*(?:(?:we\s+(?:have|get|choose|pick|select)|only|just|us\s+with|{_IT})\s+)?{_NOUN}"
    rf"|\b{_IT}\s+(?:(?:therefore|thus|clearly)\s+)?{_NOUN}"
    r"|\b(?:pick|choose|select|go\s+with|going\s+with|say|opt\s+for|vote\s+for)\b:?\s*(?:that\s+)?"
    rf"(?:{_IT}\s+)?{_NOUN}",
    re.IGNORECASE,
)
_RIGHT = re.compile(
    rf"(?<![\w'’]){_L}\s+(?:is|must\s+be|would\s+be|should\s+be|seems|remains)\s+"
    r"(?:(?:therefore|thus|clearly|indeed|most|likely|probably|only|the|one)\s+)*"
    r"(?P<what>(?:correct|right|best|true)(?:\s+(?:answer|option|choice|one))?|answer)\b" + _END
)
_LETTER_AT = re.compile(_L + _END)
_SMALL_AT = re.compile(r"[(\[]?([a-j])[)\]]?[.!]?[^\S\n]*(?:\n|$)")
_JOINED = re.compile(
    r"\s*(?:,|/|&|\b(?:and|or|und|oder|et|ou|y|o)\b)\s*(?:(?:and|or|also|possibly|maybe|option|choice)\s+)*"
    r"[(\[]?([A-J])[)\]]?(?=\s*(?:$|[.,;)!⟧]|\b(?:and|or)\b))"
)
_JOINED_BEFORE = re.compile(
    r"\b[A-J]\)?\s*(?:,|/|&|\b(?:and|or|nor)\b)\s*(?:(?:and|or)\s+)?(?:option\s+)?$"
)
_CLAUSE = re.compile(r"[.;:!?,\n—]|\b(?:but|so|hence|therefore|thus)\b", re.IGNORECASE)
_DENIED = re.compile(
    r"\b(?:not|never|cannot|doubt|unlikely|neither|nor|if|whether|suppose|assume|assuming|unless|why|mistake\w*|"
    r"wrongly|incorrectly|might|may|could|tempt\w*|people|students|many|some|rule\s+out|exclude|let|nobody|no\s+one|(?:false|wrong|untrue|incorrect)\s+that)\b|n['’]t\b",
    re.IGNORECASE,
)
_OTHER_ANSWER = re.compile(
    r"\b(incorrect|wrong|false|worst|other|second|first|next|tempting|untrue|least\s+likely|previous|initial)\s+$",
    re.IGNORECASE,
)
_CORRECTED = re.compile(
    r"\b(?:no|wait|actually|correction|scratch\s+that|sorry|mistake|instead|on\s+second\s+thought|reconsider\w*|"
    r"re-?check\w*|i\s+was\s+wrong|that['’]s\s+wrong|that\s+is\s+wrong|however|hmm)\b",
    re.IGNORECASE,
)
_TAKEN_BACK = re.compile(
    r"\b(?:wait|scratch\s+that|correction|on\s+second\s+thought|i\s+was\s+wrong|i\s+made\s+a\s+mistake|"
    r"no,\s+(?:that|this|it)\b)",
    re.IGNORECASE,
)
_CALLED_FALSE = re.compile(
    r"[\s.,;—-]*(?:(?:but|and)\s+)?(?:this|that|it|which)(?:\s+is|['’]s)\s+"
    r"(?:wrong|incorrect|false|not\s+(?:right|correct|true))\b|\s+is\s+(?:wrong|incorrect|false)\b",
    re.IGNORECASE,
)
_NEGATIVE_QUESTION = re.compile(
    r"\bwhich\b[^?\n]{0,80}\b(?:not|incorrect|false|wrong|least|untrue)\b|\bexcept\b|(?-i:\bNOT\b)",
    re.IGNORECASE,
)
_LINE = re.compile(r"\s*(?:(?:[Oo]ption|[Cc]hoice)\s+)?[(\[]?([A-J])[)\].:]?\s*[.!]?\s*")
_SMALL_LINE = re.compile(r"\s*(?:(?:[Oo]ption|[Cc]hoice)\s+)?[(\[]?([a-j])[)\].]?\s*")
_LEADING = re.compile(
    r"\s*(?:[Oo]ption\s+)?(?:\(([A-J])\)|([A-J])(?:[).:]|\s+[-–—](?=\s)|,?(?=\s(?:because|since)\b)))\s*(\S.*)"
)
_SMALL_LEADING = re.compile(r"\s*\(?([a-j])[).:]\s*(\S.*)")
_TRAILING_NOUN = re.compile(
    r"(?:,|\bwhich\s+is|\bcorresponds\s+to|\bmatches|\()\s*(?:option|choice|answer)\s+[(\[]?([A-J])[)\]]?\W{0,4}$"
)
_TRAILING = re.compile(r"^(.*?)[(\[]([A-J])[)\]]\s*[.!]?\s*$")
_CALLED_WRONG = re.compile(
    r"(?:is|was|are)?\s*(?:wrong|incorrect|false|not|n['’]t|cannot|can['’]t|fails)\b"
)
_STATED = re.compile(r".*(?:\b(?:is|are|equals)|=)\s+(?P<text>[^=]{1,200})$")
_SINGLE = frozenset("AI")  # these letters are also English words


class _Claim(NamedTuple):
    """A position in an answer that names an option. The letter is None if it names several options."""

    start: int
    end: int
    strength: int
    letter: str | None


def option_letter(reference: str) -> str | None:
    """Return the letter A-J of which a reference consists, ignoring brackets and a text macro."""
    found = _LETTER.fullmatch(MACRO.sub(r"\1", reference).strip())
    return found[1] if found else None


def chosen_option(answer: str, prompt: str) -> str | None:
    """Return the letter of the option that an answer chooses, by its letter or by its text, or None.

    The result is also None if the answer names several options, withdraws its choice, or combines a letter with the
    text of another option.
    """
    options = Options(prompt.translate(SYMBOLS))
    if len(answer) > HEAD_CHARS + TAIL_CHARS:
        answer = f"{answer[:HEAD_CHARS]}\n\n{answer[-TAIL_CHARS:]}"
    if letter := options.named(answer.translate(SYMBOLS)):
        return letter
    text = _plain(answer)
    claims = sorted(_claims(text, options, bool(_NEGATIVE_QUESTION.search(prompt)), prompt))
    if not claims:
        return None
    decisive = _decisive(claims, text)
    if decisive is None or _TAKEN_BACK.search(text, decisive.end):
        return None
    if _CALLED_FALSE.match(text, decisive.end):
        return None
    return decisive.letter


def _decisive(claims: list[_Claim], text: str) -> _Claim | None:
    """Return the claim that counts, or None if the answer contradicts itself."""
    best = max(claim.strength for claim in claims)
    strongest = [claim for claim in claims if claim.strength == best]
    last = strongest[-1]
    for claim in strongest[:-1]:
        between = text[claim.end : last.start]
        bare = len(text[claim.start : claim.end].strip(" ()[].⟦⟧")) == 1
        moved = ("\n\n" in between and not bare) or _CORRECTED.search(between)
        if claim.letter != last.letter and (best == CALLED_RIGHT or not moved):
            return None
    for claim in claims:
        if claim.start > last.start and claim.letter != last.letter:
            if not _CORRECTED.search(text, last.end, claim.start):
                return None
            last = claim
    return last


def _claims(text: str, options: Options, negative: bool, prompt: str) -> list[_Claim]:
    claims = []
    for box in _BOXED.finditer(text):
        if (named := _boxed_option(box[1], options)) and not _denied(text, box.start()):
            claims.append(_Claim(box.start(), box.end(), ANSWERED, named if named != "?" else None))
    for strength, pattern in ((ANSWERED, _KEYED), (CONCLUDED, _CONCLUSION)):
        for found in list(pattern.finditer(text))[-MOST_CLAIMS:]:
            claim = _claim_at(text, found, strength, options, prompt)
            if claim:
                claims.append(claim)
    for found in _RIGHT.finditer(text):
        plain = found["what"] in ("correct", "right")
        joined = _JOINED_BEFORE.search(text[max(0, found.start() - 30) : found.start()])
        sure = found["what"] != "true" and not (negative and plain) and not joined
        offered = options.offers(found["letter"])
        denied = _denied(text, found.start()) or _asked(text, found.end())
        if sure and offered and not denied:
            claims.append(_Claim(found.start(), found.end(), CALLED_RIGHT, found["letter"]))
    return claims + _line_claims(text, options)


def _claim_at(
    text: str, found: re.Match[str], strength: int, options: Options, prompt: str
) -> _Claim | None:
    """Return the claim after "the answer is", "so it is", "I choose"."""
    start = found.start()
    other = _OTHER_ANSWER.search(text[max(0, start - 40) : start])
    if (other and other[1].casefold() not in prompt.casefold()) or _denied(text, start):
        return None
    links = list(_IS.finditer(found[0]))
    if strength == ANSWERED and not links and not _BARE_KEY.match(found[0]):
        return None  # only "option C"
    if strength == CONCLUDED or links:
        at = start + (links[-1].end() if links else len(found[0]))
        line = _line_from(text, at)
        if letter := options.named_first(line):
            return _Claim(start, at + len(line), strength, letter)
    at = found.end() + len(text[found.end() :]) - len(text[found.end() :].lstrip("⟦ "))
    letter_at = _LETTER_AT.match(text, at)
    if letter_at is None:
        small = _SMALL_AT.match(text, at) if links and strength == ANSWERED else None
        # "The answer is a" may be the start of a sentence.
        cut = small and small[0].strip() == "a" and found[0].rstrip()[-1] not in ":="
        if small and not cut and options.offers_small(small[1]):
            return _Claim(start, small.end(), strength, small[1].upper())
        return None
    letter, end = letter_at["letter"], letter_at.end()
    if not options.offers(letter):
        return None
    joined = _JOINED.match(text, end)
    if joined and joined[1] != letter and options.offers(joined[1]):
        return _Claim(start, joined.end(), strength, None) if strength == ANSWERED else None
    rest = re.sub(r"^[).:,(\s]*(?:[-–—]\s+)?", "", _line_from(text, end))
    beside = options.named_first(rest) or options.named_first(rest.rstrip(".) "))
    if beside is None and _asked(text, end):
        return None
    return _Claim(start, end, strength, letter if beside in (None, letter) else None)


def _line_from(text: str, at: int) -> str:
    """Return the rest of the line after a position of a text, or the next line if the rest is empty."""
    return text[at : at + MAX_BOX_CHARS].lstrip("⟦ \n").split("\n", 1)[0].rstrip("⟧ ")


def _boxed_option(content: str, options: Options) -> str | None:
    """Return the letter that a box names, "?" if it names several, or None."""
    content = content.strip().strip("*").strip()
    if named := options.named(content):
        return named
    if _JOINED.search(
        re.sub(r"^(?:options?|choices?)\s+", "", content, flags=re.IGNORECASE)
    ) and re.match(r"(?:options?\s+)?[(\[]?[A-J][)\]]?\s*(?:,|/|&|and|or)", content, re.IGNORECASE):
        return "?"
    found = re.fullmatch(
        r"(?:(?:the\s+)?(?:final\s+)?(?:option|choice|answer)(?:\s+is|:)?\s+)?[(\[]?([A-Ja-j])[)\]]?\.?(?:[).:,]?\s+(.+))?",
        content,
    )
    if found is None or not options.offers(found[1].upper()):
        return None
    if found[1].islower() and not options.offers_small(found[1]):
        return None
    letter = found[1].upper()
    if not found[2]:
        return letter
    beside = options.named(found[2])
    marked = re.match(r"(?:\([A-Ja-j]\)|[A-J][).:])", content)
    if beside == letter or (beside is None and marked and letter not in _SINGLE):
        return letter
    return "?" if beside else None


def _line_claims(text: str, options: Options) -> list[_Claim]:
    """Return the claims of the first and the last line that begin with a letter or consist of one."""
    lines = list(re.finditer(r"[^\n]*\S[^\n]*", text))
    if not lines:
        return []
    listed = len(LISTED.findall(text)) > 1  # a repeated list of the options is not a choice
    claims = []
    for line in {lines[0].start(): lines[0], lines[-1].start(): lines[-1]}.values():
        content, last = line[0].strip("⟦⟧ "), line.start() == lines[-1].start()
        small = _SMALL_LINE.fullmatch(content) if len(lines) == 1 else None
        if small and not options.offers_small(small[1]):
            small = None
        alone = _LINE.fullmatch(content) or small
        if alone and options.offers(alone[1].upper()) and not (listed and len(lines) > 2):
            claims.append(_Claim(line.start(), line.end(), ANSWERED, alone[1].upper()))
        elif not listed and (leading := _leading(content, options)):
            claims.append(_Claim(line.start(), line.start() + 2, CALLED_RIGHT, leading))
        elif last and (letter := options.named(content)):
            claims.append(_Claim(line.start(), line.end(), CONCLUDED, letter))
        elif last and (trailing := _TRAILING.match(content)) and not listed:
            before = tokens(trailing[1])
            own = tokens(options.texts.get(trailing[2], ""))
            said = own and before[-len(own) :] == own and not _DENIED.search(trailing[1])
            if options.offers(trailing[2]) and said:
                claims.append(_Claim(line.start(), line.end(), CONCLUDED, trailing[2]))
        elif last and (letter := _stated_text(content, options)):
            claims.append(_Claim(line.start(), line.end(), CALLED_RIGHT, letter))
        noun = _TRAILING_NOUN.search(content) if last and not _DENIED.search(content) else None
        beside = _stated_text(content[: noun.start()].rstrip(" ,("), options) if noun else None
        if noun and options.offers(noun[1]) and beside in (None, noun[1]):
            claims.append(_Claim(line.end() - 1, line.end(), CALLED_RIGHT, noun[1]))
    return claims


def _stated_text(line: str, options: Options) -> str | None:
    """Return the letter of the option whose text the last sentence gives as its result: "The force is 56 N."."""
    sentence = re.split(r"[.!?]\s+(?=[A-Z])", line.rstrip(" .")[-MAX_BOX_CHARS:])[-1]
    found = _STATED.search(sentence)
    if found is None or _DENIED.search(sentence) or line.rstrip().endswith("?"):
        return None
    return options.named(found[1])


def _leading(line: str, options: Options) -> str | None:
    """Return the letter at the start of a line, as in "C) carbon dioxide" and "C. The others ..."."""
    if found := _LEADING.fullmatch(line):
        letter, rest = found[1] or found[2], found[3]
        again = _LINE.fullmatch(rest)
        if again and options.offers(again[1]):
            return again[1] if line.strip().startswith("A:") else None  # short for "Answer:"
        beside = options.named_first(rest)
        if not options.offers(letter) or (beside or letter) != letter or _CALLED_WRONG.match(rest):
            return None
        doubtful = letter in _SINGLE and not found[1] and line.strip()[1] != ")"
        return None if doubtful and beside is None else letter
    if small := _SMALL_LEADING.fullmatch(line):
        return small[1].upper() if options.named_first(small[2]) == small[1].upper() else None
    return None


def _denied(text: str, start: int) -> bool:
    """Return whether the clause of a claim negates it, only supposes it, or attributes it to others."""
    return bool(_DENIED.search(_CLAUSE.split(text[max(0, start - 120) : start])[-1]))


def _asked(text: str, end: int) -> bool:
    """Return whether the sentence of a claim is a question."""
    mark = re.search(r"[.?!\n]", text[end : end + 200])
    return bool(mark and mark[0] == "?")


def _plain(answer: str) -> str:
    """Return an answer without typographic markup; boxes and answer tags get special brackets."""
    answer = answer.replace(_BOX[0], " ").replace(_BOX[1], " ").replace("\r", "")
    answer = _TAG.sub(lambda found: f"\n⟦{found[1].strip()}⟧\n", answer.translate(SYMBOLS))
    parts, at = [], 0
    for start in _BOX_START.finditer(answer):
        if start.start() < at:
            continue
        end = _closing(answer, start.end())
        if end is not None:
            parts += [answer[at : start.start()], "⟦", answer[start.end() : end], "⟧"]
            at = end + 1
    text = "".join(parts) + answer[at:]
    for _ in range(2):
        text = MACRO.sub(r"\1", text)
    text = re.sub(r"\s*\n\s*\n\s*", "\n\n", re.sub(r"[^\S\n]+", " ", text))
    text = re.sub(r"^####\s*", "Answer: ", text, flags=re.MULTILINE).replace("。", ". ")
    return re.sub(r"(?<!\w)['‘]([A-J])['’](?!\w)", r"\1", _TYPE.sub("", text))


def _closing(text: str, start: int) -> int | None:
    """Return the position of the brace that closes the one opened before `start`."""
    depth = 1
    for at in range(start, min(len(text), start + MAX_BOX_CHARS)):
        if text[at] in "{}" and text[at - 1] != "\\":
            depth += 1 if text[at] == "{" else -1
        if depth == 0:
            return at
    return None
