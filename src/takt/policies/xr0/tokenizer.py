"""The nano model's own tokenizer: a small byte-level BPE with Qwen's special tokens.

Whole phrases of the prompt template are single entries, so that a three-view prompt costs about
thirty text tokens, half of what Qwen's tokenizer needs; other text falls back to merges and bytes.
"""

from itertools import product

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

VOCAB_SIZE = 1024

SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
    "<|quad_start|>",
    "<|quad_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)

PHRASES = (
    "user\nThe following observations are captured from multiple views.\n",
    "# Ego View\n",
    "# Base View\n",
    "# Left-Wrist View\n",
    "# Right-Wrist View\n",
    "Generate robot actions for the task:\n",
    " /no_cot",
    "assistant\n<cot></cot>",
    "user\n",
    "assistant\n",
)

# Qwen's pre-tokenisation, so that a pretrained tokenizer and this one cut words alike.
_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)

_VERBS = (
    "Install", "Pick up", "Place", "Put", "Push", "Pull", "Open", "Close", "Turn on", "Turn off",
    "Move", "Slide", "Lift", "Rotate", "Insert", "Stack", "Fold", "Grasp", "Hand over", "Unplug",
)  # fmt: skip
_OBJECTS = (
    "a nut", "the nut", "the spline nut", "the pin", "the red block", "the blue block",
    "the green block", "the black bowl", "the white mug", "the drawer", "the door", "the button",
    "the cream cheese", "the wine bottle", "the stove", "the towel", "the spoon", "the carrot",
    "the basket", "the plate", "the left hand", "the right gripper", "the part", "the lever",
)  # fmt: skip
_PLACES = (
    "on each pin", "on the left pin", "on the right pin", "in the basket", "on the plate",
    "next to the bowl", "to the left", "to the right", "into the top drawer", "on the table",
    "from the feeder", "with both arms", "between the plate and the mug", "behind the cabinet",
)  # fmt: skip

_QUESTIONS = (
    "Where is {first}?", "What colour is {first}? purple orange yellow white black",
    "How many blocks are there?", "Is there {first} in the image? yes no",
    "Is {first} left of {second}?", "Reach {first}.",
)  # fmt: skip


def build_tokenizer() -> Tokenizer:
    """Train on a fixed corpus of instructions; every build gives the same vocabulary."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=[*SPECIAL_TOKENS, *PHRASES],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    corpus = [
        f"{verb} {thing} {place}." for verb, thing, place in product(_VERBS, _OBJECTS, _PLACES)
    ]
    corpus += [
        question.format(first=first, second=second)
        for question, first, second in product(_QUESTIONS, _OBJECTS, _OBJECTS)
    ]
    tokenizer.train_from_iterator(corpus, trainer)
    return tokenizer
