"""Which backend to take for a workload that is described in words: what ``intermodal choose`` does.

Three steps, each of which can end a backend's candidature, with a reason: what it promises, what its entries
take, how fast it is. What is measured is what the answer says: a map opened with the same arguments, used
through a handle where the answer has one.

Plain dict is a candidate where nothing is required that it lacks; it is measured beside the others in any
case.
"""

from __future__ import annotations

import contextlib
import statistics
from typing import TYPE_CHECKING, Any, Final

import attrs

from intermodal.bench.contenders import BASELINE, Contender, enter, with_options
from intermodal.bench.memory import Memory, measure_memory
from intermodal.bench.report import WORTH_IT, Figure, Machine, figures_of
from intermodal.bench.runner import Plan, Sample, measure
from intermodal.bench.workloads import INTEGERS, BenchmarkError, Synthetic, Trace, nearest, write_mix
from intermodal.capabilities import FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from intermodal.bench.workloads import Workload
    from intermodal.capabilities import BackendSpec

#: Rounds of a measurement: enough for a median that one bad round does not move, and for a spread.
ROUNDS: Final = 5

#: What the keys of a workload may be, and its values.
KEY_TYPES: Final = ("object", "int64")
VALUE_TYPES: Final = ("object", "int64", "float64")

# What publishing together gains shows only if there is something to gather.
_PUBLISH_EVERY: Final = 100

_MEGABYTE: Final = 1_000_000


@attrs.frozen
class Needs:
    """A workload, and what it needs of a map.

    Attributes:
        threads: how many use the map at once.
        writes: how many per cent of the operations change it.
        size: how many entries it has.
        ordered: whether keys must be in order.
        snapshot: whether consistent snapshots are taken.
        key_type: one of KEY_TYPES.
        value_type: one of VALUE_TYPES.
        stale: whether readers may see what was so a moment ago.
        memory: how many megabytes the map itself may take, without keys and values; None: any number.
        keys: a file of keys; None: they are made up.
        lines: whether each line of it is a key, and not each word.
        require: more fields of Capabilities, and the levels that will do.
    """

    threads: int = 2
    writes: int = 10
    size: int = 10_000
    ordered: bool = False
    snapshot: bool = False
    key_type: str = "object"
    value_type: str = "object"
    stale: bool = False
    memory: float | None = None
    keys: Path | None = None
    lines: bool = False
    require: Mapping[str, str | bool] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        if self.threads < 1:
            raise BenchmarkError(f"a number of threads must be at least 1; got {self.threads}")
        if self.memory is not None and not self.memory > 0:
            raise BenchmarkError(f"a number of megabytes must be more than 0; got {self.memory:g}")
        for what, given, known in (
            ("keys", self.key_type, KEY_TYPES),
            ("values", self.value_type, VALUE_TYPES),
        ):
            if given not in known:
                raise BenchmarkError(f"no type of {what} {given!r}{nearest(given, known)}")
        if (self.key_type == "object") is not (self.value_type == "object"):
            raise BenchmarkError(
                f"keys are {self.key_type} and values {self.value_type}: both must be object, or keys int64 "
                "and values int64 or float64"
            )
        if self.lines and self.keys is None:
            raise BenchmarkError("--lines says how to read a file of keys; give one with --keys FILE")
        for name in self.require:
            if name not in FIELDS:
                raise BenchmarkError(f"{name!r} is not a requirement{nearest(name, FIELDS)}")
        self.workload().check(self.threads)

    @property
    def typed(self) -> bool:
        """Whether keys and values are words."""
        return self.key_type != "object"

    def requirements(self) -> dict[str, str | bool]:
        """Return what is required of a backend, as ``open_map`` takes it; types apart."""
        required: dict[str, str | bool] = dict(self.require)
        required |= {name: True for name in ("ordered", "snapshot") if getattr(self, name)}
        if not self.stale:
            required.setdefault("points", "linearizable")
        return required

    def options(self) -> dict[str, str]:
        """Return the arguments of ``open_map`` that say what keys and values are."""
        return {"key_type": self.key_type, "value_type": self.value_type} if self.typed else {}

    def workload(self) -> Workload:
        """Return what is measured."""
        mix = attrs.evolve(write_mix(self.writes), origin="choose")
        if self.keys is not None:
            trace = Trace.from_file(self.keys, mix, lines=self.lines, integers=self.typed)
            if self.value_type == "float64" and any(abs(int(key)) > INTEGERS for key in trace.keys):
                raise BenchmarkError(
                    f"the keys of {str(self.keys)!r} are stored as values too, and not all of them fit into "
                    "a float64; measure with values of int64, which cost the same"
                )
            return trace
        return Synthetic(mix, self.size, integers=self.typed)


@attrs.frozen
class RuledOut:
    """Somebody who cannot be taken, and why."""

    name: str
    reasons: tuple[str, ...]


@attrs.frozen
class Candidate:
    """Somebody who can.

    Attributes:
        contender: how it is measured.
        code: the lines that make the map, and those that use it, as they were measured.
        freshness: what readers may miss; empty if nothing.
    """

    contender: Contender
    code: str
    freshness: str = ""


@attrs.frozen
class Field:
    """Who is measured and who is not.

    Attributes:
        needs: the workload.
        candidates: who can be taken.
        baseline: dict, if it is measured for comparison only.
        ruled_out: who cannot be taken.
        notes: what else should be known.
    """

    needs: Needs
    candidates: tuple[Candidate, ...]
    baseline: Contender | None
    ruled_out: tuple[RuledOut, ...]
    notes: tuple[str, ...]

    def plan(self, seconds: float) -> Plan:
        """Return what is measured in so many seconds altogether, making and checking the maps apart."""
        contenders = [each.contender for each in self.candidates]
        if self.baseline is not None:
            contenders.append(self.baseline)
        if not 0 < seconds < float("inf"):
            raise BenchmarkError(f"seconds must be more than 0; got {seconds:g}")
        each = seconds / (len(contenders) * ROUNDS)
        return Plan(tuple(contenders), self.needs.workload(), (self.needs.threads,), ROUNDS, each)


@attrs.frozen
class Choice:
    """Which map to take.

    Attributes:
        machine: where it was measured.
        workload: what was measured, in words.
        needs: what was asked for, in words.
        figures: in the order of measuring.
        memory: what entries take; empty unless there is a limit.
        ruled_out: who cannot be taken, and why.
        notes: what else should be known.
        pick: the name of the one to take.
        code: the lines that make and use it.
        why: the reason, in a sentence or two.
        sure: whether each round of it was faster than every round of all other candidates.
        certainty: how sure that is, in a sentence.
    """

    machine: Machine
    workload: str
    needs: tuple[str, ...]
    figures: tuple[Figure, ...]
    memory: tuple[Memory, ...]
    ruled_out: tuple[RuledOut, ...]
    notes: tuple[str, ...]
    pick: str
    code: str
    why: str
    sure: bool
    certainty: str

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        plain = attrs.asdict(self)
        for figure, record in zip(self.figures, plain["figures"], strict=True):
            record |= {"rate": figure.rate, "spread": figure.spread}
        return plain


# ---- who can be taken ----------------------------------------------------


def candidates_for(needs: Needs) -> Field:
    """Return who meets *needs* by what it promises, and who does not.

    Raises: BenchmarkError if no backend does; says what fails where.
    """
    from intermodal import backends

    candidates: list[Candidate] = []
    ruled_out: list[RuledOut] = []
    for spec in backends():
        reasons = _reasons_against(spec, needs)
        if not reasons:
            try:
                candidates.append(_candidate(spec, needs))
                continue
            except BenchmarkError as error:
                reasons = (str(error),)
        ruled_out.append(RuledOut(spec.name, reasons))
    if not candidates:
        why = "; ".join(f"{each.name}: {', '.join(each.reasons)}" for each in ruled_out)
        raise BenchmarkError(f"no installed backend meets these needs: {why or 'none is installed'}")
    plain = _dict_contender()
    lacks = _lacks_of_dict(needs)
    if lacks:
        ruled_out.append(RuledOut(BASELINE, lacks))
    else:
        candidates.append(Candidate(plain, "m = {}"))
    return Field(needs, tuple(candidates), plain if lacks else None, tuple(ruled_out), tuple(_notes(needs)))


def _reasons_against(spec: BackendSpec, needs: Needs) -> tuple[str, ...]:
    from intermodal import OptionError

    if spec.capabilities is None:
        return (f"it is broken: {spec.error}",)
    required = needs.requirements()
    required |= {"key_types": needs.key_type, "value_types": needs.value_type}
    try:
        reasons = spec.capabilities.unmet(required)
    except OptionError as error:
        raise BenchmarkError(str(error)) from error
    hint = " (enough where reads may be stale)"
    return tuple(reason + hint * reason.startswith("points is 'published'") for reason in reasons)


def _lacks_of_dict(needs: Needs) -> tuple[str, ...]:
    lacks = [name for name in ("ordered", "snapshot") if getattr(needs, name)]
    if needs.typed:
        lacks.append(f"keys of type {needs.key_type}")
    lacks += needs.require
    return tuple(f"{lack} is not what a dict has" for lack in lacks)


def _dict_contender() -> Contender:
    (plain,) = (each for each in enter([], peers=False).contenders if each.name == BASELINE)
    return plain


def _notes(needs: Needs) -> Iterator[str]:
    if needs.typed:
        yield "measured key by key; whole arrays, get_many(array) and its like, are many times faster"


def _candidate(spec: BackendSpec, needs: Needs) -> Candidate:
    assert spec.capabilities is not None
    options: dict[str, Any] = needs.options()
    if spec.capabilities.points == "published" and any(o.name == "publish_every" for o in spec.options):
        options["publish_every"] = _PUBLISH_EVERY
    contender = with_options(spec.name, options)
    handle, freshness = "m.handle()", ""
    if "publish_every" in options:
        freshness = f"readers see writes up to {_PUBLISH_EVERY} later; m.publish() shows them all"
        contender = attrs.evolve(contender, settle=lambda m: m.publish())
    elif needs.stale and _has_stale_handles(contender):
        handle, freshness = (
            'm.handle("stale")',
            "readers see some earlier moment; m.sync() shows them the latest",
        )
        contender = attrs.evolve(contender, view=lambda m: m.handle("stale"), settle=lambda m: m.sync())
    # The map itself serves as the handle of the thread that made it, unless its handles read otherwise.
    with_handle = spec.capabilities.handles and (needs.threads > 1 or "stale" in handle)
    if not with_handle:
        contender = attrs.evolve(contender, view=contextlib.nullcontext)
    return Candidate(contender, _code(spec.name, options, handle if with_handle else ""), freshness)


def _has_stale_handles(contender: Contender) -> bool:
    """Return whether handles of its maps may be asked for reads that do not wait for others' writes."""
    m = contender.make()
    if not hasattr(m, "sync"):
        return False
    try:
        with m.handle("stale"):
            return True
    except (TypeError, ValueError):
        return False


def _code(name: str, options: Mapping[str, Any], handle: str) -> str:
    arguments = ", ".join(
        [f'"{name}"', *(f"{keyword}={_literal(value)}" for keyword, value in options.items())]
    )
    lines = ["from intermodal import open_map", f"m = open_map({arguments})"]
    if handle:
        lines.append(f"with {handle} as mine:  # each thread its own, for as long as it works with the map")
        lines.append("    ...  # mine[key], mine[key] = value")
    return "\n".join(lines)


def _literal(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)


# ---- what their entries take ----------------------------------------------------


def memories_of(field: Field) -> Iterator[Memory]:
    """Yield what entries take, candidate after candidate, if there is a limit; else nothing.

    Raises: BenchmarkError if it cannot be measured here.
    """
    if field.needs.memory is None:
        return
    workload = field.needs.workload()
    entries = len(set(workload.keys)) if isinstance(workload, Trace) else field.needs.size
    for each in field.candidates:
        yield from measure_memory(each.contender, [entries])


def within_memory(field: Field, taken: Sequence[Memory]) -> Field:
    """Return the field without those whose entries take too much, going by what was *taken*.

    Raises: BenchmarkError if all do.
    """
    limit = field.needs.memory
    if limit is None:
        return field
    kept, ruled_out = [], list(field.ruled_out)
    for each, memory in zip(field.candidates, taken, strict=True):
        entries = memory.entries
        megabytes = memory.bytes_per_entry * entries / _MEGABYTE
        if megabytes <= limit:
            kept.append(each)
        else:
            reason = (
                f"memory: {entries:,} entries take {megabytes:.1f} MB, {memory.bytes_per_entry:.0f} bytes "
                f"each, of at most {limit:g} MB"
            )
            ruled_out.append(RuledOut(each.contender.name, (reason,)))
    if not kept:
        least = min(taken, key=lambda memory: memory.bytes_per_entry)
        raise BenchmarkError(
            f"no candidate holds {least.entries:,} entries in {limit:g} MB; {least.contender} takes the "
            f"least, {least.bytes_per_entry * least.entries / _MEGABYTE:.1f} MB"
        )
    return attrs.evolve(field, candidates=tuple(kept), ruled_out=tuple(ruled_out))


# ---- how fast they are ----------------------------------------------------


def samples_of(field: Field, seconds: float) -> Iterator[Sample]:
    """Yield the samples, round by round, in about *seconds* altogether.

    Raises: SelfCheckError at the first wrong result.
    """
    yield from measure(field.plan(seconds))


def choose(
    field: Field, samples: Sequence[Sample], memory: Sequence[Memory] = (), *, gil_before: bool
) -> Choice | None:
    """Return what the *samples* speak for; None if they do not have every candidate."""
    figures = figures_of(samples)
    by_name = {figure.contender: figure for figure in figures}
    if any(each.contender.name not in by_name for each in field.candidates):
        return None
    best = _best(field.candidates, by_name)
    others = [by_name[each.contender.name] for each in field.candidates if each is not best]
    sure, certainty = _certainty(by_name[best.contender.name], others)
    measured = [each.contender for each in field.candidates]
    return Choice(
        machine=Machine.here(measured, gil_before=gil_before),
        workload=str(field.needs.workload()),
        needs=tuple(_in_words(field.needs)),
        figures=figures,
        memory=tuple(memory),
        ruled_out=field.ruled_out,
        notes=field.notes,
        pick=best.contender.name,
        code=best.code,
        why=_why(best, by_name, others),
        sure=sure,
        certainty=certainty,
    )


def _best(candidates: Sequence[Candidate], figures: Mapping[str, Figure]) -> Candidate:
    """Return the fastest candidate; but dict, if it is one, unless it is clearly behind."""
    best = max(candidates, key=lambda each: figures[each.contender.name].rate)
    for each in candidates:
        if each.contender.name == BASELINE:
            enough = figures[best.contender.name].rate < WORTH_IT * figures[BASELINE].rate
            return each if enough else best
    return best


def _certainty(best: Figure, others: Sequence[Figure]) -> tuple[bool, str]:
    if len(best.rates) < 2:
        return False, "Not sure: there is one round only."
    if not others:
        return True, "Sure: nobody else meets the needs."
    rival = max(others, key=lambda figure: statistics.median(figure.rates))
    spreads = (
        f"the rounds of {best.contender} spread by {best.spread:.0%}, "
        f"those of {rival.contender} by {rival.spread:.0%}"
    )
    overlapping = [each.contender for each in others if max(each.rates) >= min(best.rates)]
    if not overlapping:
        return True, f"Sure: every round of it was faster than every round of the others ({spreads})."
    names = ", ".join(overlapping)
    return (
        False,
        f"Not sure: rounds overlap with those of {names} ({spreads}); measure longer, or take any of them.",
    )


def _why(best: Candidate, figures: Mapping[str, Figure], others: Sequence[Figure]) -> str:
    own = figures[best.contender.name]
    rival = max(others, key=lambda figure: figure.rate, default=None)
    sentences = []
    if rival is None:
        sentences.append("It is the only one that meets the needs.")
    elif best.contender.name == BASELINE:
        sentences.append(
            f"Plain dict is enough: {rival.contender}, the fastest backend, has "
            f"{rival.rate / own.rate:.2f} times its throughput. Take {rival.contender} for what dict "
            "lacks: updates of a key in one step and iteration beside writers."
        )
    else:
        sentences.append(
            f"Of those that meet the needs it is the fastest: {own.rate / rival.rate:.2f} times the "
            f"throughput of {rival.contender}."
        )
    if own.ratio is not None and best.contender.name != BASELINE:
        sentences.append(f"It has {own.ratio:.2f} times that of dict.")
    if best.freshness:
        sentences.append(f"Here {best.freshness}.")
    return " ".join(sentences)


def _in_words(needs: Needs) -> Iterator[str]:
    yield f"{needs.threads} thread{'s' * (needs.threads > 1)}"
    yield f"{100 - needs.writes} % reads, {needs.writes} % writes"
    yield from (name for name in ("ordered", "snapshot") if getattr(needs, name))
    if needs.typed:
        yield f"keys {needs.key_type}, values {needs.value_type}"
    yield "reads may be stale" if needs.stale else "reads must be fresh"
    if needs.memory is not None:
        yield f"at most {needs.memory:g} MB"
    yield from (name if value is True else f"{name}={value}" for name, value in needs.require.items())
