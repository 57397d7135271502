"""Ways in which answers name an option, or seem to; and what hostile answers may cost."""

import time

import pytest

from stillhouse.verify.rules.options import chosen_option
from stillhouse.verify.rules.science import check_science

PROMPT = """Which gas do plants take in?
A) Oxygen
B) Nitrogen
C) Carbon dioxide
D) Helium"""
SLOW_SECONDS = (
    5.0  # of processor time: above what any of these takes, far below what a quadratic search would
)

CHOOSE_C = [
    "Plants take in carbon dioxide, which is option C.",
    "Plants take in carbon dioxide (option C).",
    "This corresponds to option C.",
    "Correct: C",
    "The correct one is C.",
    "C, because plants build sugar from it.",
    "Option C: Carbon dioxide",
    "The answer is 'C'.",
    "C.",
    "**C.**",
    "(C)",
    "C)",
    "[C]",
    "\\boxed{(C)}",
    "$C$",
    "\\(C\\)",
    "The answer is (C).",
    "The answer is C, carbon dioxide.",
    "The answer is C: carbon dioxide",
    "The answer is option C.",
    "The answer is **(C) Carbon dioxide**.",
    "The correct answer is C) Carbon dioxide.",
    "Answer: C. Carbon dioxide",
    "Correct answer: C",
    "Correct option: C",
    "So, the correct option is C.",
    "So the answer is C!",
    "Hence, option C is correct.",
    "Hence the correct answer is option (C).",
    "C is the correct answer.",
    "C is correct.",
    "Option C is the best choice.",
    "Choice C.",
    "Option C",
    "The answer's C.",
    "It's C.",
    "Final Answer: \\boxed{C}",
    "Final answer: The final answer is $\\boxed{C}$. I hope it is correct.",
    "Therefore, the correct answer is: **C. Carbon dioxide**",
    "The answer must be C since plants need carbon.",
    "I'd go with C.",
    "My choice is C.",
    "I'm going with C.",
    "Going with option C.",
    "I believe the answer is C.",
    "I think it's C.",
    "I think the answer is C, but I am not sure.",
    "I select C.",
    "We choose (C).",
    "Carbon dioxide (C)",
    "Carbon dioxide",
    "carbon dioxide.",
    "The answer is carbon dioxide",
    "**Carbon dioxide**",
    "\\boxed{Carbon dioxide}",
    "Plants take in carbon dioxide, so the answer is C",
    "ANSWER: C",
    "answer is c",
    "Answer - C",
    "Answer is: C",
    "Answer → C",
    "The right answer is C",
    "The letter is C.",
    "Thus: C",
    "∴ C",
    "Ans: C",
    "Ans. C",
    "Sol: C",
    "Solution: C",
    "Resposta: C",
    "Risposta: C",
    "Ответ: C",
    "答え：C",
    "정답: C",
    "选C",
    "故选C。",
    "答案是C",
    "The answer is <b>C</b>.",
    "`C`",
    "```\nC\n```",
    '{"answer": "C"}',
    "C\n\nExplanation: plants need it.",
    "C - carbon dioxide",
    "C: Carbon dioxide",
    "The answer is C.\n\nLet me know if you have questions!",
    "The answer is C. Is there anything else?",
    "Answer: C\n\nDoes this help?",
]
DO_NOT_CHOOSE_C = [
    "Nitrogen does not react, which is not option C.",
    "Incorrect: C",
    "The correct one is not C.",
    "Not C, because plants do not build sugar from it.",
    "C? No.",
    "Not C but A",
    "C or D",
    "C/D",
    "C & D",
    "C and/or D",
    "Maybe C, maybe D.",
    "The answer could be C.",
    "It might be C.",
    "Probably C or B.",
    "Anything but C.",
    "Everything except C.",
    "All but C",
    "The answer isn't C.",
    "The answer can't be C",
    "C can be excluded.",
    "Exclude C.",
    "We rule out C.",
    "C is wrong; A is right",
    "The correct answer is A, not C.",
    "A rather than C.",
    "The answer is A instead of C.",
    "I first thought the answer is C, but it is A.",
    "The answer is C? The answer is A.",
    "Answer: A\n\nThe letter C stands for carbon.",
    "Answer: A. C is wrong.",
    "A\n\n(C)",
    "Why is the answer C? Because...",
    "Let the answer be C.",
    "Suppose the answer is C.",
    "Options: A, B, C, D",
    "A B C",
    "ABCD",
    "(A)(C)",
    "[A][C]",
    "\\boxed{AC}",
    "\\boxed{A}\\boxed{C}",
    "\\boxed{\\text{A or C}}",
    "\\boxed{A \\text{ and } C}",
    "\\boxed{\\neg C}",
    "\\boxed{\\text{not C}}",
    "\\boxed{C'}",
    "\\boxed{C^c}",
    "\\boxed{\\overline{C}}",
    "\\boxed{C = 5}",
    "The answer is C'.",
    "The answer is C-3.",
    "The answer is C++.",
    "The answer is C#.",
    "The answer is C2H6.",
    "Option C's text is wrong.",
    "Answer: not C",
    "Answer: A/C",
    "Answer: A, C",
    "Answer: A and C",
    "Answers: A, C",
    "The answers are A and C.",
    "Both A and C",
    "C) Oxygen",
    "The answer is C (Oxygen)",
    "C. Nitrogen",
    "The correct option is not A, B, or C.",
    "None of A, B, C.",
    "The answer would be C if plants ate.",
    "Answer: C if light, A if dark",
    "C, unless it is dark, then A",
    "The answer is C. This is wrong.",
    "The answer is C, which is wrong.",
    "The answer is C is false.",
    "It is false that the answer is C.",
    "Nobody would say the answer is C.",
    "A common mistake is to answer C.",
    "You may choose C.",
    "To choose C is wrong.",
    "Do not choose C.",
    "Never pick C.",
    "The answer is neither C nor D.",
    "The answer: C, D",
    "<answer>C</answer><answer>A</answer>",
    "<answer>A</answer> <answer>C</answer>",
    "<answer>C or A</answer>",
    "The answer is hidden: C0",
    "vitamin C",
    "Hence the temperature is 5 C.",
    "So we use equation C.",
    "Hence C = 3.",
    "So C increases.",
    "Therefore C is wrong.",
    "Therefore, C is not right.",
    "Thus C cannot be it.",
]
REPEATED = [
    "the answer is ",
    "answer: ",
    "\\boxed{",
    "\\boxed{C}",
    "is 5 ",
    "not ",
    "5 ",
    "so ",
    "\n",
    " ",
    "<answer>",
    "it is ",
    "A, B, ",
    "C is correct ",
    "**",
    "(",
    "⟦",
]


@pytest.mark.parametrize("answer", CHOOSE_C)
def test_a_choice_is_read(answer: str) -> None:
    assert chosen_option(answer, PROMPT) == "C"


@pytest.mark.parametrize("answer", DO_NOT_CHOOSE_C)
def test_what_is_no_choice_is_not_read(answer: str) -> None:
    assert chosen_option(answer, PROMPT) != "C"


@pytest.mark.parametrize("letter", "ABCD")
@pytest.mark.parametrize(
    "mark", ["{}) {}", "({}) {}", "{}. {}", "{}: {}", "**{}.** {}", "- {}. {}"]
)
def test_options_of_a_prompt_are_known_however_they_are_marked(letter: str, mark: str) -> None:
    texts = {"A": "-3 V", "B": "3 V", "C": "-3 mV", "D": "3 MV"}
    prompt = "\n".join(["What is the voltage?", *(mark.format(*pair) for pair in texts.items())])
    for answer in (
        f"The voltage is {texts[letter]}.\n\nAnswer: {texts[letter]}",
        f"It is {letter}.",
    ):
        assert chosen_option(answer, prompt) == letter


@pytest.mark.parametrize("reference", ["C", "5", "yes", "osmosis"])
@pytest.mark.parametrize("part", REPEATED)
def test_a_long_answer_is_read_within_bounds(part: str, reference: str) -> None:
    started = time.process_time()
    check_science(reference, part * (1_000_000 // len(part)) + "C", PROMPT)
    assert time.process_time() - started < SLOW_SECONDS
