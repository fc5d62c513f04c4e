"""The prompt of a judge, and the words it chooses from."""

from __future__ import annotations

from typing import Any, NamedTuple

from micl_cli.api import PlanError, TextTokenizer

TEMPLATE = 1
"""The version of the texts below; increased with each change, since it can change verdicts."""
LONGEST = 2000
"""The maximum length in characters of a question, reference or answer; longer ones are cut."""
YES_NO = (" yes", " no")
SCORES = tuple(f" {score}" for score in range(6))

_MESSAGE = """You grade an answer to a question about a video, an image or a sound that you cannot see.

Question: {question}
Correct answer: {reference}
Answer to grade: {answer}

Does the answer to grade say the same as the correct answer? Other words, synonyms and more detail are fine. \
A contradiction, or another object, person, action, place, number or name, is not.
Reply with "Correct: yes" or "Correct: no", then with "Score:" and a number from 0 (wrong) to 5 (the same)."""
_PLACE = "MESSAGE-TO-THE-JUDGE"
_CUE, _SCORE_CUE = "Correct:", "Correct:{verdict}\nScore:"


class Question(NamedTuple):
    """A question, its reference, and the answer to grade."""

    question: str
    reference: str
    answer: str


class Verdict(NamedTuple):
    """The probability that an answer is right, and its score from 0 to 5."""

    yes: float
    score: int

    @property
    def right(self) -> bool:
        """Whether yes is more likely than no."""
        return self.yes > 0.5


class Fork(NamedTuple):
    """The beginning of a reply, and the token with which each of several words continues it."""

    context: list[int]
    tokens: list[int]


class JudgePrompt:
    """Writes prompts for a tokenizer, in its chat template if it has one.

    Nothing in a question or an answer becomes a control token. Raises PlanError if the template cannot be used, or
    words of a verdict begin with the same token.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer, self.text = tokenizer, TextTokenizer(tokenizer)
        self.head, tail = self._frame()
        self.verdict = self._fork(tail + _CUE, YES_NO)
        self.scores = {word: self._fork(tail + _SCORE_CUE.format(verdict=word), SCORES) for word in YES_NO}

    def message(self, question: Question) -> list[int]:
        """Return the token ids of the prompt up to where the reply begins."""
        texts = {key: " ".join(value.split())[:LONGEST] for key, value in question._asdict().items()}
        (ids,) = self.text.encode([_MESSAGE.format(**texts)])
        return [*self.head, *ids]

    def _frame(self) -> tuple[list[int], str]:
        """Return the tokens before a message, and the text between the message and the reply."""
        if not getattr(self.tokenizer, "chat_template", None):
            return self.text.begin, "\n\n"
        messages = [{"role": "user", "content": _PLACE}]
        try:
            text = self.tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=True, enable_thinking=False
            )
            head, tail = text.split(_PLACE)
        except Exception as error:  # a template may raise anything
            reason = " ".join(str(error).split())[:200]
            raise PlanError(f"the judge's chat template cannot be used: {reason}", "Choose another model.") from error
        return self._ids(head), tail

    def _fork(self, text: str, words: tuple[str, ...]) -> Fork:
        rows = [self._ids(text + word) for word in words]
        shared = 0
        while all(len(row) > shared + 1 for row in rows) and len({row[shared] for row in rows}) == 1:
            shared += 1
        tokens = [row[shared] for row in rows]
        if len(set(tokens)) < len(words):
            names = ", ".join(word.strip() for word in words)
            raise PlanError(f"the judge's tokenizer does not tell {names} apart", "Choose another model.")
        return Fork(rows[0][:shared], tokens)

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids
