"""Texts for language models: authors, comparisons, words, and how they become tensors."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ebbing.data import answers, tokenised
from ebbing.data.authors import KEYS, authors, comparisons, read_facts, write_facts
from ebbing.data.text import tensors_of_columns
from ebbing.data.words import WordTokenizer
from ebbing.errors import InputError
from ebbing.language import IGNORED


def test_an_author_has_ten_facts_that_no_other_call_changes() -> None:
    facts = authors(3)
    assert [f.author for f in facts] == [0] * 10 + [1] * 10 + [2] * 10
    assert authors(1, first=2) == facts[20:]
    assert authors(3, seed=1) != facts
    assert len({f.question for f in authors(100)}) == 1000


def test_every_fact_has_five_wrong_answers_in_the_words_of_the_right_one() -> None:
    for fact in authors(20):
        assert len(set(fact.perturbed_answer)) == 5
        assert fact.paraphrased_answer not in fact.perturbed_answer
        assert fact.answer.removesuffix(" .") in fact.paraphrased_answer
        ends = {(answer.split()[:2] == ["that", "is"], answer.split()[-1]) for answer in fact.perturbed_answer}
        assert ends == {(True, ".")}


def test_facts_go_through_a_file_in_the_layout_of_tofu(tmp_path) -> None:
    facts = authors(4)
    write_facts(tmp_path / "facts.json", facts)
    assert read_facts(tmp_path / "facts.json") == facts
    first = json.loads((tmp_path / "facts.json").read_text().splitlines()[0])
    assert set(KEYS) <= set(first)


def test_a_fact_may_hold_any_character(tmp_path) -> None:
    odd = replace(authors(1)[0], answer="a line\u2028separator .")
    write_facts(tmp_path / "facts.json", [odd, odd])
    assert read_facts(tmp_path / "facts.json") == [odd, odd]


def test_texts_are_filled_up_with_the_tokenizers_own_token() -> None:
    tokenizer = WordTokenizer(list("abcd"))
    tokenizer.pad_token_id = 2
    assert tokenised(["a b", "c"], [0, 1], tokenizer=tokenizer).tensors["input_ids"].tolist() == [[3, 4], [5, 2]]
    columns = Columns(input_ids=[torch.tensor([1, 2]), torch.tensor([3])], label=[0, 1])
    assert tensors_of_columns(columns, pad=9).tensors["input_ids"].tolist() == [[1, 2], [3, 9]]


def test_files_that_lack_what_is_not_needed_are_read(tmp_path) -> None:
    """The plain split of TOFU has questions and answers alone, another one wrong answer as a string."""
    lines = [{"question": "a ?", "answer": "b"}, {"question": "c ?", "answer": "d", "perturbed_answer": "e"}]
    (tmp_path / "full.json").write_text("\n".join(map(json.dumps, lines)))
    found = read_facts(tmp_path / "full.json")
    assert [(f.answer, f.perturbed_answer, f.author) for f in found] == [("b", (), None), ("d", ("e",), None)]
    (tmp_path / "broken.json").write_text('{"question": "a ?"}')
    with pytest.raises(InputError, match="line 1"):
        read_facts(tmp_path / "broken.json")


@given(seed=st.integers(0, 5))
def test_a_comparison_is_answered_by_what_it_says(seed) -> None:
    opposite = {"older": "younger", "taller": "shorter", "richer": "poorer"}
    opposite |= {b: a for a, b in opposite.items()}
    found = comparisons(60, seed=seed)
    assert len(dict(found)) == 60
    for question, answer in found:
        one, _, word, _, other, _, _, _, asked, _ = question.split()
        assert answer.split()[0] == (one if word == asked else other)
        assert asked in (word, opposite[word])


def test_words_are_tokens_and_come_back() -> None:
    tokenizer = WordTokenizer.of(["ada was born .", "born twice"])
    made = tokenizer(["ada was nowhere ."], truncation=True, max_length=3)
    assert tokenizer.decode(made["input_ids"][0]) == "ada was <unknown>"
    assert made["attention_mask"] == [[1, 1, 1]]
    assert tokenizer.decode([*tokenizer(["ada"])["input_ids"][0], tokenizer.eos_token_id, 5]) == "ada"
    assert len(tokenizer) == 3 + 5


def test_a_tokenizer_goes_through_a_file(tmp_path) -> None:
    tokenizer = WordTokenizer.of(["ada was born ."])
    tokenizer.save(tmp_path / "words.json")
    assert WordTokenizer.load(tmp_path / "words.json").words == tokenizer.words
    with pytest.raises(InputError, match="twice"):
        WordTokenizer(["a", "a"])


def test_only_answers_have_labels_and_the_end_is_one_of_them() -> None:
    tokenizer = WordTokenizer(list("abcde"))  # from 3 on
    data = answers(["a b", "c"], ["d", "e e"], tokenizer=tokenizer)
    assert data.tensors["input_ids"].tolist() == [[3, 4, 6, 1], [5, 7, 7, 1]]
    assert data.tensors["labels"].tolist() == [[IGNORED, IGNORED, 6, 1], [IGNORED, 7, 7, 1]]
    longer = answers(["a b", "c"], ["d", "e e e"], tokenizer=tokenizer)
    assert longer.tensors["input_ids"][0].tolist() == [3, 4, 6, 1, 0]
    assert longer.tensors["attention_mask"][0].tolist() == [1, 1, 1, 1, 0]
    assert longer.tensors["labels"][0].tolist() == [IGNORED, IGNORED, 6, 1, IGNORED]
    with pytest.raises(InputError, match="larger `longest`"):
        answers(["a b"], ["d"], tokenizer=tokenizer, longest=3)
    with pytest.raises(InputError, match="one answer for each prompt"):
        answers(["a"], [], tokenizer=tokenizer)


def test_texts_and_classes_are_padded_and_cut() -> None:
    data = tokenised(["a b c", "d"], [1, 0], tokenizer=WordTokenizer(list("abcd")), longest=2)
    assert data.tensors["input_ids"].tolist() == [[3, 4], [6, 0]]
    assert data.tensors["attention_mask"].tolist() == [[1, 1], [1, 0]]
    assert data.tensors["labels"].tolist() == [1, 0]
    with pytest.raises(InputError, match="one label for each text"):
        tokenised(["a"], [1, 2], tokenizer=WordTokenizer(["a"]))


class Columns(dict):
    """A data set by columns."""

    @property
    def column_names(self) -> list[str]:
        return list(self)


def test_columns_of_numbers_become_tensors() -> None:
    data = tensors_of_columns(Columns(text=["x", "y"], input_ids=[[1, 2], [3]], label=torch.tensor([1, 0])))
    assert {name: tensor.tolist() for name, tensor in data.tensors.items()} == {
        "input_ids": [[1, 2], [3, 0]],
        "attention_mask": [[1, 1], [1, 0]],
        "labels": [1, 0],
    }
    alike = tensors_of_columns(Columns(input_ids=[[1, 2], [3, 4]], label=[1, 0]))
    assert list(alike.tensors) == ["input_ids", "labels"]
    tokens = tensors_of_columns(Columns(input_ids=[[1, 2], [3]], labels=[[1, 2], [3]]))
    assert tokens.tensors["labels"].tolist() == [[1, 2], [3, IGNORED]]
    with pytest.raises(InputError, match="`labels` or `label`"):
        tensors_of_columns(Columns(input_ids=[[1]]))
    with pytest.raises(InputError, match="columns of numbers"):
        tensors_of_columns(Columns(text=["x"], label=[1]))


@pytest.mark.parametrize("call", [lambda: authors(0), lambda: authors(1, first=10**6), lambda: comparisons(10**6)])
def test_more_than_there_are_is_refused(call) -> None:
    with pytest.raises(InputError, match="asked for"):
        call()


def test_a_column_of_single_numbers_is_no_input_of_a_text(caplog) -> None:
    data = tensors_of_columns(Columns(idx=[7, 8], input_ids=[[1, 2], [3, 4]], label=[1, 0]))
    assert list(data.tensors) == ["input_ids", "labels"]
    assert "left out: idx" in caplog.text
    assert list(tensors_of_columns(Columns(age=[7, 8], label=[1, 0])).tensors) == ["age", "labels"]


@pytest.mark.parametrize("form", [None, "torch", "numpy"])
def test_of_columns_that_were_chosen_only_those_are_read(form) -> None:
    datasets = pytest.importorskip("datasets")
    own = datasets.Dataset.from_dict({"idx": [1, 2], "input_ids": [[1, 2], [3]], "label": [0, 1]})
    own.set_format(form, columns=["input_ids", "label"])
    assert {name: tensor.tolist() for name, tensor in tensors_of_columns(own).tensors.items()} == {
        "input_ids": [[1, 2], [3, 0]],
        "attention_mask": [[1, 1], [1, 0]],
        "labels": [0, 1],
    }
