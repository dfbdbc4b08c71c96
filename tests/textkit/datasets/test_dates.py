import datetime
import itertools
import string

import pytest

from textkit.datasets import dates
from textkit.datasets.dates import LANGUAGES, dated_texts, write

DATE = datetime.date(2026, 11, 21)  # a Saturday
FIRST = datetime.date(1905, 3, 1)  # a Wednesday
NAMED = [language for language in LANGUAGES.values() if language.months]


def given(example):
    """The characters that give each of the target's."""
    return ["".join(example.source[place] for place in places) for places in example.alignment]


class TestWrite:
    @pytest.mark.parametrize(
        ("language", "form", "text", "first"),
        [
            ("english", "{W}, {M} {th}, {y}", "Saturday, November 21st, 2026", "Wednesday, March 1st, 1905"),
            ("english", "the {ordinal} of {m} {y}", "the twenty-first of Nov 2026", "the first of Mar 1905"),
            ("german", "{W}, den {d}. {M} {y}", "Samstag, den 21. November 2026", "Mittwoch, den 1. März 1905"),
            ("french", "le {W} {th} {M} {y}", "le samedi 21 novembre 2026", "le mercredi 1er mars 1905"),
            ("spanish", "{d}-{roman}-{y}", "21-XI-2026", "1-III-1905"),
            ("italian", "{W} {th} {M} {y}", "sabato 21 novembre 2026", "mercoledì 1º marzo 1905"),
            ("portuguese", "{W}, {th} de {M} de {y}", "sábado, 21 de novembro de 2026", "quarta-feira, 1º de março de 1905"),
            ("dutch", "{d} {m} {y}", "21 nov. 2026", "1 mrt. 1905"),
            ("swedish", "{W} {d} {M} {y}", "lördag 21 november 2026", "onsdag 1 mars 1905"),
            ("chinese", "{hy}年{hm}月{hd}日 {W}", "二〇二六年十一月二十一日 星期六", "一九〇五年三月一日 星期三"),
            ("japanese", "{y}年{n}月{d}日({W})", "2026年11月21日(土曜日)", "1905年3月1日(水曜日)"),
            ("korean", "{y}년 {n}월 {d}일 {W}", "2026년 11월 21일 토요일", "1905년 3월 1일 수요일"),
            ("numbers", "{y}{mm}{dd}", "20261121", "19050301"),
        ],
    )
    def test_forms(self, language, form, text, first):
        written = write(DATE, language, form)
        assert (written.source, written.target, written.language) == (text, "2026-11-21", language)
        assert write(FIRST, language, form).source == first

    @pytest.mark.parametrize(
        ("day", "text"),
        [(2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (12, "12th"), (13, "13th"), (22, "22nd"), (30, "30th")],
    )
    def test_english_endings(self, day, text):
        assert write(DATE.replace(day=day), "english", "{th}").source == text

    @pytest.mark.parametrize(
        ("language", "form", "expected"),
        [
            ("english", "{W}, {d} {M} {y}", ["2", "0", "2", "6", "", " November ", " November ", "", "2", "1"]),
            (
                "english",
                "the {ordinal} of {M} {y}",
                ["2", "0", "2", "6", "", " November ", " November ", "", " twenty-", "-first "],
            ),
            ("numbers", "{dd}.{mm}.{y}", ["2", "0", "2", "6", "", "1", "1", "", "2", "1"]),
            ("spanish", "{d}-{roman}-{y}", ["2", "0", "2", "6", "", "-XI-", "-XI-", "", "2", "1"]),
            ("chinese", "{hy}年{hm}月{hd}日", [*"二〇二六", "", "十", "一", "", "二", "一"]),
        ],
    )
    def test_alignment(self, language, form, expected):
        assert given(write(DATE, language, form)) == expected

    def test_alignment_of_equal_digits_goes_to_the_right_one(self):
        example = write(datetime.date(2022, 2, 22), "numbers", "{dd}.{mm}.{y}")  # 22.02.2022
        assert example.alignment == ((6,), (7,), (8,), (9,), (), (3,), (4,), (), (0,), (1,))

    def test_zeros_that_are_not_written(self):
        # The digit and its neighbours, as far as there are such.
        example = write(FIRST, "numbers", "{y}-{n}-{d}")  # 1905-3-1
        assert example.alignment[5:] == ((4, 5, 6), (5,), (), (6, 7), (7,))
        assert write(FIRST, "numbers", "{d}.{n}.{y}").alignment[8:] == ((0, 1), (0,))
        assert given(write(FIRST, "chinese", "{hy}年{hm}月{hd}日"))[5:] == ["年三月", "三", "", "月一日", "一"]

    @pytest.mark.parametrize(
        ("day", "text", "expected"),
        [
            (10, "十日", "十十"),
            (12, "十二日", "十二"),
            (20, "二十日", "二十"),
            (21, "二十一日", "二一"),
            (30, "三十日", "三十"),
        ],
    )
    def test_han_numbers(self, day, text, expected):
        example = write(datetime.date(2000, 1, day), "chinese", "{hd}日")
        assert example.source == text
        assert "".join(given(example)[8:]) == expected

    @pytest.mark.parametrize(
        ("day", "expected"), [(5, [" fifth"] * 2), (20, [" twentieth"] * 2), (25, [" twenty-", "-fifth"])]
    )
    def test_ordinals(self, day, expected):
        assert given(write(DATE.replace(day=day), "english", "the {ordinal}"))[8:] == expected

    def test_every_form_says_the_whole_date_in_every_month(self):
        for name, language in LANGUAGES.items():
            for form, month in itertools.product(language.forms, range(1, 13)):
                example = write(datetime.date(2073, month, 28), name, form)
                assert [bool(places) for places in example.alignment] == [place not in (4, 7) for place in range(10)], form
                assert all(0 <= place < len(example.source) for places in example.alignment for place in places)
                assert "{" not in example.source

    def test_no_form_has_two_readings(self):
        for language in LANGUAGES.values():
            for form in language.forms:
                fields = [field for _, field, _, _ in string.Formatter().parse(form) if field]
                if {"n", "mm"} & set(fields) and "y" in fields[1:]:  # two numbers before the year
                    assert "." in form, form

    def test_names_mean_one_month_in_all_languages(self):
        meaning = {}
        for language in NAMED:
            for names in (language.months, language.short_months):
                assert len(names.split()) == 12
                for month, name in enumerate(names.lower().split(), 1):
                    assert meaning.setdefault(name.rstrip("."), month) == month, name

    def test_names_are_distinct(self):
        for language in LANGUAGES.values():
            for names in (language.months, language.short_months, language.weekdays):
                assert len(set(names.split())) == len(names.split())
        assert all(len(language.weekdays.split()) in (0, 7) for language in LANGUAGES.values())


class TestLinks:
    def test_sure_and_possible(self):
        example = write(datetime.date(2026, 5, 7), "english", "{M} {d}, {y}")  # May 7, 2026
        years = {(7, 0), (8, 1), (9, 2), (10, 3)}
        assert example.sure == years | {(4, 9)}
        assert example.possible == example.sure | {(place, index) for place in range(4) for index in (5, 6)} | {
            (3, 8),
            (4, 8),
            (5, 8),
        }

    def test_links_leave_out_hyphens_and_what_follows(self):
        example = write(DATE, "numbers", "{y}{mm}{dd}")
        chosen = [0, 1, 2, 3, 0, 4, 5, 5, 6, 7, 7, 7]
        assert example.links(chosen) == example.sure == example.possible


class TestDatedTexts:
    def test_is_decided_by_the_seed(self):
        assert dated_texts("test", 101, seed=3) == dated_texts("test", 101, seed=3)
        assert dated_texts("test", 101, seed=3) == dated_texts("test", 211, seed=3)[:101]
        assert dated_texts("test", 101, seed=3) != dated_texts("test", 101, seed=4)

    def test_no_date_is_in_two_splits_and_no_text_comes_twice(self):
        found = {split: dated_texts(split, 1009) for split in ("train", "validation", "test")}
        targets = [{example.target for example in examples} for examples in found.values()]
        for one, other in itertools.combinations(targets, 2):
            assert not one & other
        for examples in found.values():
            assert len({example.source for example in examples}) == 1009

    def test_all_languages_and_cases_come(self):
        examples = dated_texts("train", 2003)
        assert {example.language for example in examples} == set(LANGUAGES)
        english = [example.source for example in examples if example.language == "english"]
        assert any(text.isupper() for text in english)
        assert any(text.islower() for text in english)
        assert all(places for example in examples for places in example.alignment[:4])
        assert all(
            example.source[place].upper() == example.source[place].lower() != ""
            for example in examples
            if example.language != "chinese"
            for places in example.alignment[:4]
            for place in places
        )  # years are digits wherever they stand, in capitals too

    def test_languages_can_be_chosen(self):
        assert {example.language for example in dated_texts("train", 53, languages=["dutch", "korean"])} == {
            "dutch",
            "korean",
        }

    def test_what_is_not_there_is_refused(self):
        with pytest.raises(ValueError, match=r"Unknown split; did you mean 'train'\? Received: split='trian'"):
            dated_texts("trian")
        with pytest.raises(ValueError, match=r"Unknown language; did you mean 'german'.* Received: language='germn'"):
            dated_texts(languages=["germn"])
        with pytest.raises(ValueError, match=r"count of at least 1, and a language. Received: count=0"):
            dated_texts(count=0)
        with pytest.raises(ValueError, match=r"and a language. Received: count=5, languages=\[\]"):
            dated_texts(count=5, languages=[])

    def test_more_than_there_are_is_refused(self, monkeypatch):
        monkeypatch.setattr(dates, "LAST_YEAR", dates.FIRST_YEAR)  # about 18 dates, in 2 forms and 3 cases
        with pytest.raises(
            ValueError, match=r"at most \d+ texts of these languages. Received: count=1000, split='test', .*korean"
        ):
            dated_texts("test", 1000, languages=["korean"])


def test_pairs_stand_in_the_order_of_the_texts():
    pairs = dates.date_pairs(train=23, validation=5, test=7, seed=2)
    assert (pairs.name, pairs.source_kind, pairs.target_kind) == ("dates", "characters", "characters")
    for split, count in (("train", 23), ("validation", 5), ("test", 7)):
        examples = dated_texts(split, count, seed=2)
        assert getattr(pairs, split) == [(example.source, [example.target]) for example in examples]
    source, target = pairs.vocabularies()
    assert target.size == 4 + len("0123456789-")
    assert source.kind == "characters"
