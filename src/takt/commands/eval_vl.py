"""`takt eval vl`: ask a checkpoint's vision-language backbone a benchmark's questions."""

import json as json_format
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from takt.extras import require_extra

if TYPE_CHECKING:
    import numpy as np

    from takt.benchmarks.vision_language.evaluation import Answer, Source
    from takt.benchmarks.vision_language.store import AnswerStore
    from takt.benchmarks.vision_language.summary import Summary


@dataclass(frozen=True, slots=True, kw_only=True)
class Vl:
    """Ask a benchmark's questions, greedily; the same command resumes what was interrupted."""

    policy: Path
    """Folder of a checkpoint."""
    benchmark: str
    """erqa, seed, pope, ai2d, mmbench, mme, mmmu, textvqa, scienceqa, chartqa; or blocks, the toy,
    which needs no data."""
    data: Path | None = None
    """Its questions: a parquet file as on Hugging Face, a folder of them, or a TSV as VLMEvalKit's.
    Nothing is downloaded."""
    out: Path | None = None
    """Folder of all results of this checkpoint, one below for each benchmark; by default
    out/vl/RUN-NAME with the names of the checkpoint's folder and of the one that holds it."""
    limit: int | None = None
    """Only the first so many (of MMBench and MME: groups that count as one)."""
    max_tokens: int | None = None
    """Longest reply; by default the benchmark's own."""
    skip_bad: bool = False
    """Leave damaged rows out and count them, instead of stopping at the first."""
    json: bool = False
    """Print one JSON object as the last line."""


def run_vl(command: Vl) -> int:
    """Ask, resume, and print the result."""
    require_extra("train,data", "takt eval vl")
    from takt.benchmarks.vision_language.evaluation import open_source
    from takt.benchmarks.vision_language.store import AnswerStore, Run
    from takt.benchmarks.vision_language.table import benchmark_named
    from takt.types import TaktError

    benchmark = benchmark_named(command.benchmark)
    tokens = benchmark.answer_tokens if command.max_tokens is None else command.max_tokens
    for name, number in (("limit", command.limit), ("max-tokens", tokens)):
        if number is not None and number < 1:
            raise TaktError(f"expected --{name} of at least 1, got {number}; choose more")
    source = open_source(command.benchmark, command.data)
    run = Run(
        benchmark=command.benchmark,
        policy=str(command.policy),
        checkpoint_digest=_checkpoint_digest(command.policy),
        data=str(command.data or ""),
        data_digest=source.digest(),
        answer_tokens=tokens,
    )
    out = (command.out or _own_folder(command.policy)) / command.benchmark
    with closing(AnswerStore(out, run)) as store:
        summary = _evaluate(command, source, store, _talker(command.policy, tokens))
    if command.json:
        print(json_format.dumps(asdict(summary)))
    else:
        _print(summary, benchmark.title, out)
    return 0


def _own_folder(policy: Path) -> Path:
    """Every checkpoint that takt trains is called policy; its run's folder is not."""
    return Path("out/vl") / "-".join(policy.resolve().parts[1:][-2:])


def _evaluate(command: Vl, source: "Source", store: "AnswerStore", answer: "Answer") -> "Summary":
    from takt.benchmarks.vision_language.evaluation import BadRows, evaluate, first, questions
    from takt.benchmarks.vision_language.store import SUMMARY
    from takt.benchmarks.vision_language.summary import summarise
    from takt.benchmarks.vision_language.table import benchmark_named
    from takt.datasets.atomic import write_atomically
    from takt.recipes.progress import Progress

    benchmark, bad = benchmark_named(command.benchmark), BadRows(command.skip_bad)
    asked = first(questions(benchmark, source, bad), command.limit, benchmark)
    with Progress(sys.stderr) as progress:
        show = partial(progress.show, benchmark.title, source.count)
        show(0)
        answers = evaluate(
            benchmark,
            asked,
            answer,
            store,
            bad,
            lambda done, mean: show(done, f"mean score {mean:.3f}"),
        )
    summary = summarise(command.benchmark, str(command.policy), benchmark, answers, len(bad.errors))
    content = json_format.dumps(asdict(summary), indent=2)
    write_atomically(store.folder / SUMMARY, content.encode())
    return summary


def _checkpoint_digest(policy: Path) -> str:
    from takt.benchmarks.store import folder_digest
    from takt.types import TaktError

    if not policy.is_dir():
        raise TaktError(f"--policy: expected the folder of a checkpoint, {policy} is none")
    return folder_digest(policy, (".json", ".safetensors"))


def _talker(policy: Path, tokens: int) -> "Answer":
    """Answers with the checkpoint, which is loaded at the first question only."""
    from functools import cache

    from takt.benchmarks.vision_language.question import UnanswerableError
    from takt.policies.xr0.chat import Chat
    from takt.policies.xr0.memory import NotEnoughMemoryError
    from takt.types import TaktError

    load = cache(lambda: Chat.load(policy))

    def answer(images: "Sequence[np.ndarray]", prompt: str) -> str:
        chat = load()  # what is wrong with checkpoint or machine is no question's fault
        try:
            return "".join(chat.answer(chat.prompt(images, prompt), tokens))
        except NotEnoughMemoryError:
            raise
        except TaktError as error:
            raise UnanswerableError(str(error)) from error

    return answer


def _print(summary: "Summary", title: str, out: Path) -> None:
    found = summary.score
    print(
        f"{title}: {100 * found.rate:.1f} % (95 % {100 * found.lo:.1f}-{100 * found.hi:.1f}) "
        f"of {found.n}, chance {100 * summary.chance:.1f} %"
    )
    for name, value in summary.further.items():
        print(f"  {name.replace('_', ' ')} {value:.4g}")
    if summary.samples < summary.whole:
        print(f"  {summary.samples} of {summary.whole} samples")
    if summary.skipped:
        print(f"  skipped {summary.skipped} damaged rows")
    if summary.incomplete:
        print(f"  left out {summary.incomplete} groups that lost a row")
    print(f"answers: {out}")
