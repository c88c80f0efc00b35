"""Is a completion answer-first: does its reasoning name a DRG before it has argued for one?

    from reward_fns.drg.cot_first import is_answer_first
    is_answer_first("HEART FAILURE AND SHOCK WITH MCC, since …", "HEART FAILURE AND SHOCK WITH MCC")  # True

The paper speaks of a DRG code within the first 50 tokens of the reasoning. Here that is, within its first 50
white-space-separated words: a title that carries a CC/MCC status, in any case; a title without one, in capitals (in
lower case "chest pain" is a symptom); a DRG's number, in its three digits, directly after "DRG"; or this completion's
own answer directly after "DRG", "answer" or "code". Tags and whatever is neither letter nor digit read as blanks.
"""

import re

from reward_fns.drg import ms_drg

WORDS = 50

_MOST = 4_000  # characters of so many words that are looked at, so that no completion takes long
_TAG = re.compile("<[^<>]*>")
_WORD = re.compile(r"\bW/O\b|[^\W_]+")
_NUMBER = re.compile(r"DRGS?[^A-Z0-9]*([0-9]{3})(?![0-9%]|\.[0-9])")
_NUMBERS = frozenset(drg.number for drg in ms_drg.DRGS)
# Two cheap tests that every reasoning with a title passes: a status phrase, and (without one) five capitals in a row.
_STATUS = re.compile("W(?:ITH(?:OUT)?|/O)?[^A-Z0-9]+M?CC")
_CAPITALS = bytes(65 if 65 <= byte <= 90 else 32 for byte in range(256))  # every capital to "A", the rest to " "
_END = ""  # the key that marks the end of a title in the trees below; never a word

Tree = dict[str, "Tree"]


def _words(text: str) -> list[str]:
    """The words of a text without the marks around them, with W, W/O, & and misspellings as titles write them."""
    return [ms_drg.CORRECT.get(word, word) for word in _WORD.findall(text.replace("&", " AND "))]


def _tree(titles: list[str]) -> Tree:
    """A tree of words: the walk from its root along the words of a title ends at a node with the key _END."""
    root: Tree = {}
    for title in titles:
        node = root
        for word in _words(title):
            node = node.setdefault(word, {})
        node[_END] = {}
    return root


_WITH_STATUS = _tree([key for key, drg in ms_drg.BY_KEY.items() if drg.status != ms_drg.NO_STATUS])
_WITHOUT_STATUS = _tree([key for key, drg in ms_drg.BY_KEY.items() if drg.status == ms_drg.NO_STATUS])


def _names(words: list[str], tree: Tree) -> bool:
    for start, word in enumerate(words):
        node = tree.get(word)
        at = start + 1
        while node is not None:
            if _END in node:
                return True
            node = node.get(words[at]) if at < len(words) else None
            at += 1
    return False


def is_answer_first(reasoning: str, answer: str) -> bool:
    """Whether the first 50 words of the reasoning name a DRG."""
    parts = reasoning.split(None, WORDS)
    head = reasoning[: -len(parts[WORDS])] if len(parts) > WORDS else reasoning
    if len(head) > _MOST:
        head = " ".join(parts[:WORDS])[:_MOST]
    if "<" in head and ">" in head:
        head = _TAG.sub(" ", head)
    capitals = head.upper()
    if "CC" in capitals and _STATUS.search(capitals) and _names(_words(capitals), _WITH_STATUS):
        return True
    if b"AAAAA" in head.encode("ascii", "replace").translate(_CAPITALS) and _names(_words(head), _WITHOUT_STATUS):
        return True
    if "DRG" in capitals and not _NUMBERS.isdisjoint(_NUMBER.findall(capitals)):
        return True
    found = ms_drg.find(answer)
    if found is not None and found.status != ms_drg.NO_STATUS:
        return False  # the answer's title has been looked for already, after any word
    return ("DRG" in capitals or "ANSWER" in capitals or "CODE" in capitals) and _repeats(capitals, answer, found)


def _repeats(capitals: str, answer: str, found: ms_drg.Drg | None) -> bool:
    own = [_words(answer[:1000].upper())] if found is None or answer != found.title else []
    own += [_words(found.title)] if found else []
    own = [said for said in own if said and said[0] in capitals]
    words = _words(capitals) if own else []
    for at, word in enumerate(words, 1):
        if word.endswith(("DRG", "ANSWER", "CODE")) and any(words[at : at + len(said)] == said for said in own):
            return True
    return False
