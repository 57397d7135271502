"""The names of licences: a licence's name on the Hub, its SPDX identifier, or its long name, to the name on the Hub."""

import re

# A word that does not tell one licence from another.
_FILLER = {
    "the",
    "a",
    "license",
    "licence",
    "version",
    "software",
    "public",
    "unported",
    "international",
    "generic",
}
_FILLER |= {"universal", "dedication", "only", "or", "later"}
_CREATIVE_COMMONS = {
    "attribution": "by",
    "by": "by",
    "noncommercial": "nc",
    "nc": "nc",
    "sharealike": "sa",
    "sa": "sa",
}
_ZERO = {
    "cc zero",
    "cc0",
    "cc zero 1.0",
    "cc0 1.0",
    "creative commons zero",
    "creative commons zero 1.0",
}
# What is left of a name without filler, to the name on the Hub.
_NAMES = {
    "apache 2.0": "apache-2.0",
    "apache 2": "apache-2.0",
    "mit": "mit",
    "expat": "mit",
    "isc": "isc",
    "bsd": "bsd",
    "bsd 2 clause": "bsd-2-clause",
    "bsd 2 clause simplified": "bsd-2-clause",
    "bsd 3 clause": "bsd-3-clause",
    "bsd 3 clause new revised": "bsd-3-clause",
    "unlicense": "unlicense",
    "pddl": "pddl",
    "pddl 1.0": "pddl",
    "open data commons domain": "pddl",
    "open data commons domain 1.0": "pddl",
    "odc by": "odc-by",
    "odc by 1.0": "odc-by",
    "open data commons attribution": "odc-by",
    "open data commons attribution 1.0": "odc-by",
    "odbl": "odbl",
    "odbl 1.0": "odbl",
    "open database": "odbl",
    "open database 1.0": "odbl",
    "open data commons open database": "odbl",
    "open data commons open database 1.0": "odbl",
    "cdla permissive 1.0": "cdla-permissive-1.0",
    "cdla permissive 2.0": "cdla-permissive-2.0",
    "community data agreement permissive 1.0": "cdla-permissive-1.0",
    "community data agreement permissive 2.0": "cdla-permissive-2.0",
    "gpl 3.0": "gpl-3.0",
    "gplv3": "gpl-3.0",
    "gnu gpl 3.0": "gpl-3.0",
    "gnu general 3": "gpl-3.0",
    "gnu general 3.0": "gpl-3.0",
    "agpl 3.0": "agpl-3.0",
    "gnu affero general 3": "agpl-3.0",
    "gnu affero general 3.0": "agpl-3.0",
    "gfdl": "gfdl",
    "gfdl 1.2": "gfdl",
    "gfdl 1.3": "gfdl",
    "gnu free documentation": "gfdl",
    "gnu free documentation 1.2": "gfdl",
    "gnu free documentation 1.3": "gfdl",
    "llama 3.1 community": "llama3.1",
    "llama 3.2 community": "llama3.2",
    "llama 3.3 community": "llama3.3",
    "gemma": "gemma",
    "gemma terms of use": "gemma",
}  # fmt: skip


def hub_name(license_name: str) -> str:
    """Return the name on the Hub of a licence, in lower case; a name that is not recognised is returned as it is.

    "CC-BY-4.0", "cc-by-4.0" and "Creative Commons Attribution 4.0 International (CC BY 4.0)" are one licence. A name
    with a word that is not understood, such as the country of a ported version, is not recognised.
    """
    plain = license_name.strip().lower()
    text = re.sub(r"\([^)]*\)", " ", plain)  # an abbreviation
    text = re.sub(r"\b(non|share)[- ](commercial|alike)", r"\1\2", re.sub(r"\bv(?=\d)", "", text))
    words = [word for word in re.findall(r"[a-z0-9]+(?:\.[0-9]+)*", text) if word not in _FILLER]
    left = " ".join(words)
    if left in _ZERO:
        return "cc0-1.0"
    if words[:2] == ["creative", "commons"]:
        words = ["cc", *words[2:]]
    if words[:1] == ["cc"] and len(words) > 2:
        parts = [_CREATIVE_COMMONS.get(word) for word in words[1:-1]]
        if all(parts) and re.fullmatch(r"[1-4]\.[05]", words[-1]):
            return "-".join(["cc", *map(str, parts), words[-1]])
    return _NAMES.get(left, plain)
