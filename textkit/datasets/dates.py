"""Random dates in many formats and languages, with their ISO 8601 form and a gold character alignment.

"Saturday, 21 November 2026", "21. Nov. 2026" and "二〇二六年十一月二十一日" are all 2026-11-21. It is a small task that a
model learns in two minutes, and one of the few with a known alignment.

No format is ambiguous: years have four digits; day and month are both numeric only where the order is clear, after the year
or separated by full stops (always day first); "03/04/2026" does not occur.
"""

import dataclasses
import datetime
import random
import string

from shared_layers.runtime import unknown_name
from textkit.datasets.pairs import Pairs
from textkit.datasets.splits import SPLITS, position

FIRST_YEAR, LAST_YEAR = 1900, 2099

# Upper bounds of the hash in [0, 1) for each split.
_SPLIT_ENDS = {"train": 0.9, "validation": 0.95, "test": 1.0}
_DRAWS_FOR_EACH = 50

# The indices of each part in the target: 2026-11-21.
_YEAR, _MONTH, _DAY = (0, 1, 2, 3), (5, 6), (8, 9)

_ORDINALS = (
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth "
    "sixteenth seventeenth eighteenth nineteenth twentieth twenty-first twenty-second twenty-third twenty-fourth "
    "twenty-fifth twenty-sixth twenty-seventh twenty-eighth twenty-ninth thirtieth thirty-first"
)
_ROMAN = "I II III IV V VI VII VIII IX X XI XII"
_HAN = "〇一二三四五六七八九"


@dataclasses.dataclass(frozen=True)
class Language:
    """The date formats of a language.

    In formats, {y} is the year; {d} the day, {dd} with two digits, {th} as an ordinal number; {M} the name of the month, {m}
    abbreviated, {n} its number, {mm} with two digits, {roman} in Roman numerals; {W} the day of the week. English has
    {ordinal} for the day in words, Chinese {hy}, {hm} and {hd} for numbers in characters.
    """

    forms: tuple
    months: str = ""
    short_months: str = ""
    weekdays: str = ""
    ordinal_ending: str = ""  # for the first day of a month


_NUMBERS = ("{y}/{mm}/{dd}", "{y}.{mm}.{dd}", "{y}-{mm}-{dd}", "{y}{mm}{dd}", "{dd}.{mm}.{y}", "{d}.{n}.{y}")

LANGUAGES = {
    "numbers": Language(_NUMBERS),
    "english": Language(
        (
            *("{d} {M} {y}", "{M} {d}, {y}", "{W}, {d} {M} {y}", "{W}, {M} {d}, {y}", "{M} {th}, {y}", "{th} {M} {y}"),
            *(
                "the {th} of {M}, {y}",
                "the {ordinal} of {M} {y}",
                "{d} {m} {y}",
                "{m} {d}, {y}",
                "{dd}-{m}-{y}",
                "{y} {M} {d}",
            ),
        ),
        "January February March April May June July August September October November December",
        "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec",
        "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
    ),
    "german": Language(
        (
            "{d}. {M} {y}",
            "{W}, den {d}. {M} {y}",
            "{W}, {d}. {M} {y}",
            "am {d}. {M} {y}",
            "{d}. {m}. {y}",
            "{W}, {dd}.{mm}.{y}",
        ),
        "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
        "Jan. Feb. März Apr. Mai Juni Juli Aug. Sept. Okt. Nov. Dez.",
        "Montag Dienstag Mittwoch Donnerstag Freitag Samstag Sonntag",
    ),
    "french": Language(
        ("{th} {M} {y}", "le {th} {M} {y}", "{W} {th} {M} {y}", "le {W} {th} {M} {y}", "{d} {m} {y}"),
        "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
        "janv. févr. mars avr. mai juin juil. août sept. oct. nov. déc.",
        "lundi mardi mercredi jeudi vendredi samedi dimanche",
        "er",
    ),
    "spanish": Language(
        ("{d} de {M} de {y}", "{W}, {d} de {M} de {y}", "el {d} de {M} de {y}", "{d} {m}. {y}", "{d}-{roman}-{y}"),
        "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
        "ene feb mar abr may jun jul ago sept oct nov dic",
        "lunes martes miércoles jueves viernes sábado domingo",
    ),
    "italian": Language(
        ("{th} {M} {y}", "{W} {th} {M} {y}", "il {th} {M} {y}", "{d} {m} {y}", "{d}.{roman}.{y}"),
        "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
        "gen feb mar apr mag giu lug ago set ott nov dic",
        "lunedì martedì mercoledì giovedì venerdì sabato domenica",
        "º",
    ),
    "portuguese": Language(
        ("{th} de {M} de {y}", "{W}, {th} de {M} de {y}", "em {th} de {M} de {y}", "{d} {m}. {y}"),
        "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
        "jan fev mar abr mai jun jul ago set out nov dez",
        "segunda-feira terça-feira quarta-feira quinta-feira sexta-feira sábado domingo",
        "º",
    ),
    "dutch": Language(
        ("{d} {M} {y}", "{W} {d} {M} {y}", "op {d} {M} {y}", "{d} {m} {y}"),
        "januari februari maart april mei juni juli augustus september oktober november december",
        "jan. feb. mrt. apr. mei juni juli aug. sept. okt. nov. dec.",
        "maandag dinsdag woensdag donderdag vrijdag zaterdag zondag",
    ),
    "swedish": Language(
        ("{d} {M} {y}", "den {d} {M} {y}", "{W} {d} {M} {y}", "{d} {m} {y}"),
        "januari februari mars april maj juni juli augusti september oktober november december",
        "jan. feb. mars apr. maj juni juli aug. sep. okt. nov. dec.",
        "måndag tisdag onsdag torsdag fredag lördag söndag",
    ),
    "chinese": Language(
        ("{y}年{n}月{d}日", "{y}年{mm}月{dd}日", "{y}年{n}月{d}日{W}", "{hy}年{hm}月{hd}日", "{hy}年{hm}月{hd}日 {W}"),
        weekdays="星期一 星期二 星期三 星期四 星期五 星期六 星期日",
    ),
    "japanese": Language(
        ("{y}年{n}月{d}日({W})", "{y}年{mm}月{dd}日 {W}"),
        weekdays="月曜日 火曜日 水曜日 木曜日 金曜日 土曜日 日曜日",
    ),
    "korean": Language(
        ("{y}년 {n}월 {d}일", "{y}년 {n}월 {d}일 {W}"),
        weekdays="월요일 화요일 수요일 목요일 금요일 토요일 일요일",
    ),
}


@dataclasses.dataclass(frozen=True)
class DatedText:
    """A date in one format, with its alignment.

    Attributes:
        source: str, the date as text.
        target: str, the date in ISO 8601, such as "2026-11-21".
        alignment: tuple of 10 tuples of int: for each character of the target, the indices of the source characters that
            may be aligned with it. This is one for a digit that the source has, and none for a hyphen. Otherwise it is the
            part that gives the digit and the character on either side, which shows where the part begins or ends: for a
            month's name all its letters and their neighbours, for an omitted zero the digit after it and its neighbours.
        language: str, a name in `LANGUAGES`.
    """

    source: str
    target: str
    alignment: tuple
    language: str

    @property
    def sure(self):
        """Sure links, set of (source index, target index): target characters with a single source character."""
        return {(given[0], index) for index, given in enumerate(self.alignment) if len(given) == 1}

    @property
    def possible(self):
        """Possible links, set of (source index, target index): the whole alignment."""
        return {(place, index) for index, given in enumerate(self.alignment) for place in given}

    def links(self, places):
        """Converts predicted source indices to links for `textkit.metrics.alignment_error_rate`.

        Args:
            places: list of int, the source index with the highest attention for each character of the target.

        Returns:
            set of (source index, target index), without hyphens, which have no alignment.
        """
        return {(int(place), index) for index, place in enumerate(places[: len(self.alignment)]) if self.alignment[index]}


def dated_texts(split="train", count=20_000, seed=0, languages=None):
    """Draws dates from 1900 to 2099, each with a random language and format; some are in upper case, some in lower case.

    A hash of the date decides its split, 90 %, 5 % and 5 %: no date is in two splits, in any format.

    Args:
        split: str, "train", "validation" or "test".
        count: int, the number of different texts.
        seed: int. The same arguments give the same texts.
        languages: iterable of names in `LANGUAGES`; `None` for all, equally likely.

    Returns:
        list of `DatedText`.

    Raises:
        ValueError: an unknown split or language, `count` below 1, or more texts than these languages have.

    Example:
        >>> example = dated_texts("train", 1, languages=["german"])[0]
        >>> example.source, example.target
        ('Sonntag, 06.08.2084', '2084-08-06')
        >>> [example.source[place] for place in example.alignment[9]]
        ['6']
    """
    if split not in _SPLIT_ENDS:
        raise unknown_name("split", split, _SPLIT_ENDS)
    languages = list(LANGUAGES if languages is None else languages)
    for language in languages:
        if language not in LANGUAGES:
            raise unknown_name("language", language, LANGUAGES)
    if count < 1 or not languages:
        raise ValueError(f"Expected a count of at least 1, and a language. Received: {count=}, {languages=}")
    chance = random.Random(f"{seed} {split}")
    first, last = (datetime.date(*day).toordinal() for day in ((FIRST_YEAR, 1, 1), (LAST_YEAR, 12, 31)))
    found = {}
    for _ in range(_DRAWS_FOR_EACH * count):
        date = datetime.date.fromordinal(chance.randint(first, last))
        if _split_of(date) == split:
            language = chance.choice(languages)
            form = chance.choice(LANGUAGES[language].forms)
            change = chance.choice([str] * 8 + [str.upper, str.lower])
            example = write(date, language, form, change)
            found[example.source] = example
            if len(found) == count:
                return list(found.values())
    raise ValueError(f"Expected at most {len(found)} texts of these languages. Received: {count=}, {split=}, {languages=}")


def date_pairs(train=20_000, validation=1000, test=2000, seed=0, languages=None):
    """Makes pairs of dates and their ISO 8601 form, in the order of `dated_texts`.

    Args:
        train: int, the number of pairs of the split.
        validation: int, the number of pairs of the split.
        test: int, the number of pairs of the split.
        seed: int, see `dated_texts`.
        languages: see `dated_texts`.

    Returns:
        A `Pairs` of characters.

    Raises:
        ValueError: see `dated_texts`.
    """
    splits = {
        split: [(example.source, [example.target]) for example in dated_texts(split, count, seed, languages)]
        for split, count in zip(SPLITS, (train, validation, test), strict=True)
    }
    return Pairs(**splits, name="dates", source_kind="characters", target_kind="characters", metric="exact_match")


def write(date, language, form, change=str):
    """Writes a date in one format.

    Args:
        date: `datetime.date`.
        language: str, a name in `LANGUAGES`.
        form: str, a format, see `Language`.
        change: function from str to str of the same length, such as `str.upper`.

    Returns:
        A `DatedText`.
    """
    source, alignment = "", [()] * len(date.isoformat())
    for before, field, _, _ in string.Formatter().parse(form):
        source += before
        if field:
            text, links = _write_field(date, LANGUAGES[language], field)
            for index, places in links.items():
                alignment[index] = tuple(len(source) + place for place in places)
            source += text
    # the ends of the text have no neighbour
    alignment = tuple(tuple(place for place in places if 0 <= place < len(source)) for places in alignment)
    return DatedText(change(source), date.isoformat(), alignment, language)


def _write_field(date, language, field):
    """The text of a field, and dict {index in the target: indices in the text}."""
    month, day = date.month - 1, date.day - 1
    if field == "W":
        return language.weekdays.split()[date.weekday()], {}
    if field == "y":
        return _digits(str(date.year), _YEAR)
    if field == "d":
        return _digits(str(date.day), _DAY)
    if field == "dd":
        return _digits(f"{date.day:02}", _DAY)
    if field == "n":
        return _digits(str(date.month), _MONTH)
    if field == "mm":
        return _digits(f"{date.month:02}", _MONTH)
    if field == "th":
        text, links = _digits(str(date.day), _DAY)
        return text + _ending(date.day, language), links
    if field == "ordinal":
        tens, _, ones = _ORDINALS.split()[day].partition("-")
        if not ones:
            return _whole(tens, _DAY)
        after = len(tens) + 1
        return f"{tens}-{ones}", {_DAY[0]: _around(0, len(tens)), _DAY[1]: _around(after, after + len(ones))}
    if field == "hy":
        text, links = _digits(str(date.year), _YEAR)
        return "".join(_HAN[int(digit)] for digit in text), links
    if field in ("hm", "hd"):
        return _han(date.month, _MONTH) if field == "hm" else _han(date.day, _DAY)
    names = {"M": language.months, "m": language.short_months, "roman": _ROMAN}
    return _whole(names[field].split()[month], _MONTH)


def _digits(text, places):
    if len(text) < len(places):  # the zero is omitted
        return text, {places[0]: _around(0, 1), places[1]: (0,)}
    return text, {index: (place,) for place, index in enumerate(places)}


def _whole(text, places):
    return text, {index: _around(0, len(text)) for index in places}


def _around(begin, end):
    """The indices from `begin` to before `end`, and one on either side."""
    return range(begin - 1, end + 1)


def _han(number, places):
    """A number below 100 in Chinese characters: 三, 十, 十一, 二十, 二十一."""
    tens, ones = divmod(number, 10)
    if not tens:
        return _HAN[ones], _digits(str(ones), places)[1]
    text = (_HAN[tens] if tens > 1 else "") + "十" + (_HAN[ones] if ones else "")
    return text, {places[0]: (0,), places[1]: (len(text) - 1,)}


def _ending(day, language):
    if language is not LANGUAGES["english"]:
        return language.ordinal_ending if day == 1 else ""
    return "th" if 10 < day < 20 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")


def _split_of(date):
    place = position(date.isoformat())
    return next(split for split, end in _SPLIT_ENDS.items() if place < end)
