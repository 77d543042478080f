"""Where national ids stand in a text: numbers with a right check digit, beside a word that says what they are.

python-stdnum knows the check digits: `pip install 'llmlog[ids]'`. Without it nothing is found, and asking for one of
these kinds by its name is an error of use.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache, partial
from importlib import import_module
from types import ModuleType
from typing import NamedTuple

from llmlog.exceptions import UsageValueError
from llmlog.redaction.places import Detector, Place, Span

stdnum: ModuleType | None
try:
    import stdnum
except ModuleNotFoundError:
    stdnum = None

__all__ = ["BOUNDED", "COUNTRIES", "WORDS", "country", "is_there", "national_id", "pattern"]


class _Country(NamedTuple):
    modules: str
    words: str  # a regular expression over small letters
    least: int  # how many letters and digits a number has
    most: int


COUNTRIES: dict[str, _Country] = {
    "au_abn": _Country("au.abn au.acn", "abn|acn|australian business|australian company", 9, 11),
    "au_tfn": _Country("au.tfn", "tfn|tax file|australia", 8, 9),
    "be_nn": _Country("be.nn be.bis", "nn|insz|niss|rijksregister|registre national|belgi", 11, 11),
    "bg_egn": _Country("bg.egn", "egn|егн|bulgaria", 10, 10),
    "br_cpf": _Country("br.cpf", "cpf|cadastro de pessoa|brazil", 11, 11),
    "br_cnpj": _Country("br.cnpj", "cnpj|cadastro nacional", 14, 14),
    "ca_sin": _Country("ca.sin", "sin|social insurance|canad", 9, 9),
    "ch_ahv": _Country("ch.ssn", "ahv|avs|social security|swiss|switzerland|sozialversicherung", 13, 13),
    "cn_ric": _Country("cn.ric", "ric|身份证|身份證|公民身份|resident id|chinese|china", 15, 18),
    "cz_rc": _Country("cz.rc sk.rc", "rc|rodn|birth number|czech|slovak", 9, 10),
    "de_idnr": _Country("de.idnr de.stnr", "idnr|steuer|german", 10, 13),
    "dk_cpr": _Country("dk.cpr", "cpr|danish|denmark", 10, 10),
    "ee_ik": _Country("ee.ik lt.asmens", "isikukood|asmens|estonia|lithuania", 11, 11),
    "es_dni": _Country("es.dni es.nif es.cif", "dni|nif|cif|documento nacional|spanish|spain", 9, 9),
    "es_nie": _Country("es.nie", "nie|extranjero", 9, 9),
    "fi_hetu": _Country("fi.hetu", "hetu|henkil|finnish|finland", 11, 11),
    "fr_nir": _Country("fr.nir", "nir|insee|sécu|securite sociale|numéro de s|french|france", 15, 15),
    "gb_nhs": _Country("gb.nhs", "nhs|national health", 10, 10),
    "gb_utr": _Country("gb.utr", "utr|uk utr|uk_utr|taxpayer ref|uk tax|british", 10, 10),
    "gb_vat": _Country("gb.vat de.vat eu.vat", "vat|ust-id|ustid|tva|iva|mwst", 8, 14),
    "gr_amka": _Country("gr.amka gr.vat", "amka|afm|αμκα|αφμ|greek|greece", 9, 11),
    "hr_oib": _Country("hr.oib", "oib|croatia", 11, 11),
    "ie_pps": _Country("ie.pps", "pps|ppsn|irish|ireland", 8, 9),
    "il_idnr": _Country("il.idnr", "teudat|תעודת|israel|il id|il_id", 8, 9),
    "imei": _Country("imei", "imei", 14, 17),
    "in_aadhaar": _Country("in_.aadhaar", "aadhaar|aadhar|adhaar|uidai|आधार|indian|india", 12, 12),
    "in_pan": _Country("in_.pan", "pan|permanent account", 10, 10),
    "it_codicefiscale": _Country("it.codicefiscale it.iva", "codice|fiscal|c.f.|italian|italy|partita", 11, 16),
    "kr_rrn": _Country("kr.rrn", "rrn|주민|resident registration|korea", 13, 13),
    "meid": _Country("meid", "meid", 14, 19),
    "mx_curp": _Country("mx.curp", "curp|registro de poblaci", 18, 18),
    "mx_rfc": _Country("mx.rfc", "rfc|registro federal|mexic", 9, 13),
    "nl_bsn": _Country("nl.bsn", "bsn|burgerservice|sofinummer|dutch|netherlands", 8, 9),
    "no_fodselsnummer": _Country("no.fodselsnummer", "fødselsn|fodselsn|fnr|norwegian|norway", 11, 11),
    "pl_pesel": _Country("pl.pesel pl.nip", "pesel|nip|polish|poland", 10, 11),
    "pt_nif": _Country("pt.nif pt.cc", "contribuinte|portug", 9, 12),
    "ro_cnp": _Country("ro.cnp", "cnp|cod numeric|romania", 13, 13),
    "se_personnummer": _Country("se.personnummer", "swedish|sweden|samordnings|pnr", 10, 12),
    "sg_uen": _Country("sg.uen", "uen|unique entity|singapore", 9, 10),
    "th_pin": _Country("th.pin", "บัตรประชาชน|thai", 13, 13),
    "tr_tckimlik": _Country("tr.tckimlik", "kimlik|tckn|turkish|türk|turkey|tr id|tr_id", 11, 11),
    "tw_ubn": _Country("tw.ubn", "統一編號|taiwan", 8, 8),
    "us_ein": _Country("us.ein", "ein|employer id", 9, 9),
    "us_itin": _Country("us.itin us.tin", "itin|tin", 9, 9),
    "za_idnr": _Country("za.idnr", "south africa|rsa id|sa id|za id|za_id", 13, 13),
}
"""National ids, by the names of python-stdnum: kinds of their own, for those who want them found without a word.

The words are small letters; one of up to four letters must stand alone, a longer one begins a word.
"""

# Words that say "an id of a person" without saying of which country.
_ANY = (
    "national id|national no|national number|national insurance|nationalid|national_id|identity card|identity document"
    "|identity no|identity number|identification n|id card|id number|id no|personal id|personal code|personal number"
    "|personnummer|personal identi|citizen|resident id|tax id|tax no|tax number|taxpayer|tax_id"
    "|passport|ausweis|cédula|cedula|identidad|identidade|carte d'identit|carta d'identit|government id"
)
_NEVER_BARE = frozenset({"es_dni", "es_nie", "fi_hetu", "ie_pps", "in_pan", "mx_curp", "mx_rfc"})
_LETTERED = _NEVER_BARE | {"be_nn", "br_cnpj", "cn_ric", "fr_nir", "gb_vat", "it_codicefiscale", "meid", "pt_nif",
                           "se_personnummer", "sg_uen"}  # fmt: skip
_COMPANIES = frozenset({"au_abn", "br_cnpj", "gb_vat", "imei", "meid", "sg_uen", "tw_ubn", "us_ein"})
BOUNDED = 4
"""Telling words of up to so many letters must stand alone."""


_BEFORE, _AFTER = 40, 64
_NUMBER = re.compile(r"[0-9](?:[0-9A-Za-z]?[ .\-/]?[0-9]){4}")  # in every number that any country gives
_TRIES = 6
_LEAST = min(its.least for its in COUNTRIES.values())
_LEAD = re.compile(r"(?=[A-Za-z.]{0,6}[0-9])|[A-Z]{1,4}(?![A-Za-z])")
_TOKEN = re.compile(r"[0-9A-Za-z](?:[0-9A-Za-z.\-/+]{0,24}[0-9A-Za-z])?")
_JOINTS = frozenset(" .-/")
_SEPARATORS = dict.fromkeys(map(ord, " .-/"))
WORDS = tuple(dict.fromkeys("|".join([*(it.words for it in COUNTRIES.values()), *COUNTRIES, _ANY]).split("|")))
"""Every telling word: a text that has none of them, in small letters, has no national id beside its word."""


_HEAD = 5
_LETTERS = re.compile(r"[^\W\d_]+")
_SMALL_LETTERS = re.compile("[a-z]+")
_BY_HEAD: dict[str, list[tuple[str, str]]] = {}
for _kind, _its in [*COUNTRIES.items(), ("any", _Country("", _ANY, 0, 0))]:
    for _word in [*_its.words.split("|"), *([_kind] if _kind in COUNTRIES else ())]:
        _BY_HEAD.setdefault(_LETTERS.findall(_word)[0][:_HEAD], []).append((_word, _kind))
# Scripts that do not part words, or join them to what stands before.
_UNSPACED = [pair for pairs in _BY_HEAD.values() for pair in pairs if min(pair[0]) > "\u0500"]
for _of_head in _BY_HEAD.values():
    _of_head.sort(key=lambda pair: -len(pair[0]))


def pattern(before: str, after: str) -> str:
    """The telling words as one expression; `before` and `after`: what says where a word ends."""
    words = "|".join(re.escape(word) + (after if len(word) <= BOUNDED else "") for word in WORDS)
    return f"{before}(?:{words})"


_UNFIT, _WRONG, _RIGHT = "of no length", "with a wrong check digit", "a number"
_Known = dict[tuple[str, str], str]


def _words_in(lower: str) -> Iterator[tuple[int, int, str]]:
    """The telling words in a text, and what each tells of."""
    if not lower.isascii():
        for word, kind in _UNSPACED:
            at = lower.find(word)
            while at >= 0:
                yield at, at + len(word), kind
                at = lower.find(word, at + len(word))
    reached = 0
    for found in _LETTERS.finditer(lower):
        start = found.start()
        for word, kind in _BY_HEAD.get(found[0][:_HEAD], ()) if start >= reached else ():
            reached = start + len(word)
            if lower.startswith(word, start) and (len(word) > BOUNDED or not lower[reached : reached + 1].isalpha()):
                yield start, reached, kind
                break
            reached = start


def is_there() -> bool:
    """Whether python-stdnum is installed."""
    return stdnum is not None


def national_id(text: str) -> Iterator[Place]:
    """National ids with right check digits, beside a word that says of what country they are, or that they are ids."""
    if stdnum is None:
        return
    lower = text.lower()
    if len(lower) != len(text):
        lower = text
    if not _NUMBER.search(text):
        return
    if lower.isascii():
        heads = {word[:_HEAD] for word in _SMALL_LETTERS.findall(lower)} & _BY_HEAD.keys()
        if not any(word in lower for head in heads for word, _ in _BY_HEAD[head]):
            return
    known: _Known = {}
    words = sorted(_words_in(lower))
    reached = 0
    for (begin, end, name), follower in zip(words, [*words[1:], (len(text), 0, "")], strict=False):
        after = list(_in_window(text, end, min(follower[0], end + _AFTER), name, known))
        for first, last in after or _in_window(text, max(reached, begin - _BEFORE), begin, name, known):
            yield first, last, "national_id"
        reached = after[-1][1] if after else end


_ALONE = "only "  # stands in front of a kind that is meant without those it comes with


@cache
def _kinds(told: str) -> tuple[str, ...]:
    if told.startswith(_ALONE):
        return (told.removeprefix(_ALONE),)
    if told in COUNTRIES:
        return (told, *(other for other in COUNTRIES if other[:2] == told[:2] and other != told and "_" in other))
    return tuple(other for other in COUNTRIES if other not in _COMPANIES)


def country(kind: str) -> Detector:
    """The detector of one country's ids, wherever they stand."""
    if stdnum is None:
        raise UsageValueError(f"{kind} needs python-stdnum: pip install 'llmlog[ids]'")
    return partial(_anywhere, told=_ALONE + kind)


def _anywhere(text: str, told: str) -> list[Place]:
    kind = told.removeprefix(_ALONE)
    return [(start, end, kind) for start, end in _in_window(text, 0, len(text), told, {}, tries=len(text))]


def _in_window(text: str, start: int, end: int, told: str, known: _Known, tries: int = _TRIES) -> Iterator[Span]:
    """The numbers between two places, each of up to seven pieces parted by a sign: the longest that is one."""
    pieces = [found.span() for found in _TOKEN.finditer(text, start, end)]
    reached = start
    for first, (begin, stop) in enumerate(pieces):
        if begin < reached or not tries or not _LEAD.match(text, begin, stop):
            continue
        ends, size = [stop], stop - begin
        for next_begin, next_stop in pieces[first + 1 : first + 7]:
            if next_begin - ends[-1] > 2 or not _JOINTS.issuperset(text[ends[-1] : next_begin]):
                break
            ends.append(next_stop)
            size += next_stop - next_begin
        if size < _LEAST:
            continue
        tried = False
        for stop in reversed(ends):
            if stop - begin < _LEAST:
                break
            whole = text[begin:stop]
            answer = known.get((told, whole))
            if answer is None:
                answer = known[told, whole] = _is_number(told, whole)
            tried = tried or answer is not _UNFIT
            if answer is _RIGHT:
                yield begin, stop
                reached = stop
                break
        tries -= tried


@cache
def _fitting(told: str, bare: bool) -> dict[int, tuple[str, ...]]:
    """Which of the kinds told of have numbers of a length, of digits alone or not."""
    kinds = _kinds(told)
    unfit = _NEVER_BARE if bare else COUNTRIES.keys() - _LETTERED
    sizes = range(min(COUNTRIES[kind].least for kind in kinds), max(COUNTRIES[kind].most for kind in kinds) + 1)
    return {
        size: tuple(
            kind for kind in kinds if COUNTRIES[kind].least <= size <= COUNTRIES[kind].most and kind not in unfit
        )
        for size in sizes
    }


def _is_number(told: str, whole: str) -> str:
    compact = whole.translate(_SEPARATORS)
    fitting = _fitting(told, compact.isdecimal()).get(len(compact))
    if not fitting:
        return _UNFIT
    return _RIGHT if any(check(whole) for kind in fitting for check in _checks(kind)) else _WRONG


@cache
def _checks(kind: str) -> tuple[Callable[[str], bool], ...]:
    made = []
    for name in COUNTRIES[kind].modules.split():
        try:
            made.append(import_module(f"stdnum.{name}").is_valid)
        except (ImportError, AttributeError):  # an older python-stdnum
            continue
    return tuple(made)
