"""``intermodal choose``: who is ruled out by what, the pick, the code that it prints, and what it asks."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import threading

import attrs
import pytest
from typer.testing import CliRunner

from intermodal import ConcurrentMap, _commands, backends, cli, open_map
from intermodal.bench import choice, workloads
from intermodal.bench.choice import Needs, candidates_for, memories_of, within_memory
from intermodal.bench.memory import Memory
from intermodal.bench.runner import Sample, SelfCheckError
from intermodal.bench.workloads import BenchmarkError

QUICK = ("choose", "--size", "20", "--seconds", "0.01")


@pytest.fixture(autouse=True)
def short_passes(monkeypatch):
    """Let passes be as short as small sizes allow: nothing here depends on their length."""
    monkeypatch.setattr(workloads, "SHORTEST_PASS", 1_000)


def invoke(*arguments):
    return CliRunner().invoke(_commands.app, list(arguments))


def names(field):
    return [each.contender.name for each in field.candidates]


def code_of(field, name):
    (code,) = [each.code for each in field.candidates if each.contender.name == name]
    return code


def chosen(field, **rates):
    """Return what is chosen by the rates of five rounds, or of as many as are given, by name."""
    samples = [
        Sample(name, 2, rate, 1.0)
        for name, each in rates.items()
        for rate in (each if isinstance(each, tuple) else (each,) * 5)
    ]
    return choice.choose(field, samples, gil_before=True)


def field_of(*wanted, **needs):
    """Return the field of these needs with only the candidates that are wanted."""
    field = candidates_for(Needs(**needs))
    kept = [each for each in field.candidates if each.contender.name in wanted]
    return attrs.evolve(field, candidates=tuple(kept))


# ---- who can be taken ----------------------------------------------------


@pytest.mark.parametrize(
    ("needs", "requirement"),
    [
        ({"ordered": True}, {"ordered": True}),
        ({"snapshot": True}, {"snapshot": True}),
        ({"key_type": "int64", "value_type": "float64"}, {"key_types": "int64", "value_types": "float64"}),
        ({"require": {"iteration": "snapshot"}}, {"iteration": "snapshot"}),
        ({"require": {"callbacks_once": True}}, {"callbacks_once": True}),
        ({}, {"points": "linearizable"}),
    ],
    ids=str,
)
def test_requirement_rules_out_exactly_who_does_not_promise_it(needs, requirement):
    """Each backend is a candidate, or is ruled out with every requirement that it fails."""
    field = candidates_for(Needs(**needs))
    reasons = {each.name: each.reasons for each in field.ruled_out}
    for spec in backends():
        unmet = spec.capabilities.unmet(requirement | {"points": "linearizable"})
        assert (spec.name in names(field)) is not bool(unmet)
        assert len(reasons.get(spec.name, ())) == len(unmet)
        for fault in unmet:
            assert any(reason.startswith(fault) for reason in reasons[spec.name])


@pytest.mark.parametrize(
    ("needs", "lacks"),
    [
        ({"ordered": True}, "ordered"),
        ({"snapshot": True}, "snapshot"),
        ({"key_type": "int64", "value_type": "int64"}, "keys of type int64"),
        ({"require": {"iteration": "weak"}}, "iteration"),
    ],
    ids=str,
)
def test_dict_is_only_compared_with_where_it_lacks_what_is_needed(needs, lacks):
    """It is measured for comparison, and can not be the pick."""
    field = candidates_for(Needs(**needs))
    assert "dict" not in names(field)
    assert {each.name: each.reasons for each in field.ruled_out}["dict"] == (
        f"{lacks} is not what a dict has",
    )
    assert [each.name for each in field.plan(1).contenders].count("dict") == 1


def test_dict_is_a_candidate_where_it_has_what_is_needed():
    """Where reads, writes and threads are all that was said."""
    field = candidates_for(Needs())
    assert code_of(field, "dict") == "m = {}"
    assert [each.name for each in field.plan(1).contenders].count("dict") == 1


def test_stale_reads_admit_maps_that_publish():
    """They are measured gathering writes, as the code says, and the answer says what readers miss."""
    assert "evmap" not in names(candidates_for(Needs()))
    field = field_of("evmap", stale=True)
    assert 'open_map("evmap", publish_every=100)' in code_of(field, "evmap")
    assert "readers see writes up to 100 later" in chosen(field, evmap=10, dict=1).why


def test_stale_reads_are_what_replicas_are_read_with():
    """Handles of replicated maps are asked for them; those of other maps are not."""
    field = candidates_for(Needs(stale=True))
    for name in ("nr", "cnr"):
        assert 'with m.handle("stale") as mine:' in code_of(field, name)
    assert "with m.handle() as mine:" in code_of(field, "swiss")
    assert '"stale"' not in code_of(candidates_for(Needs()), "nr")


def test_one_thread_needs_no_handle():
    """The map itself is measured, and that is what the code says."""
    (swiss,) = field_of("swiss", threads=1).candidates
    assert "handle" not in swiss.code
    m = swiss.contender.make()
    with swiss.contender.view(m) as view:
        assert view is m


def test_threads_use_handles_as_the_code_says():
    """What is measured with handles is printed with them."""
    (swiss,) = field_of("swiss", threads=2).candidates
    assert "with m.handle() as mine:" in swiss.code
    m = swiss.contender.make()
    with swiss.contender.view(m) as view:
        assert view is not m


def test_types_are_arguments_and_are_measured():
    """The code has them, and the map that is measured refuses what is no such key."""
    (swiss,) = field_of("swiss", key_type="int64", value_type="float64").candidates
    assert 'open_map("swiss", key_type="int64", value_type="float64")' in swiss.code
    m = swiss.contender.make()
    with pytest.raises(TypeError):
        m["text"] = 1.0
    assert any(
        "get_many(array)" in note
        for note in candidates_for(Needs(key_type="int64", value_type="int64")).notes
    )


def test_needs_that_nobody_meets_say_what_fails_where():
    """The error names each backend and each promise that it does not make."""
    with pytest.raises(
        BenchmarkError, match="no installed backend meets.*btree: multi_value is not promised"
    ):
        candidates_for(Needs(ordered=True, require={"multi_value": True}))


def test_broken_backend_is_ruled_out_as_broken(install):
    """A plugin that cannot be imported is in nobody's way."""
    install("broken", "import no_such_module")
    reasons = {each.name: each.reasons for each in candidates_for(Needs()).ruled_out}
    assert "no_such_module" in reasons["broken"][0]


# ---- memory ----------------------------------------------------


def test_limit_of_memory_rules_out_who_takes_more():
    """With what they take, and the limit."""
    field = field_of("swiss", "locked", size=100_000, memory=4)
    taken = [Memory("locked", 100_000, 30.0), Memory("swiss", 100_000, 50.0)]
    within = within_memory(field, taken)
    assert names(within) == ["locked"]
    assert within.ruled_out[-1].name == "swiss"
    assert within.ruled_out[-1].reasons == (
        "memory: 100,000 entries take 5.0 MB, 50 bytes each, of at most 4 MB",
    )


def test_limit_that_nobody_keeps_says_who_takes_least():
    """The message says how much would do."""
    field = field_of("swiss", "locked", size=100_000, memory=1)
    with pytest.raises(BenchmarkError, match=r"100,000 entries in 1 MB; locked takes the least, 3.0 MB"):
        within_memory(field, [Memory("locked", 100_000, 30.0), Memory("swiss", 100_000, 50.0)])


def test_memory_is_that_of_maps_as_they_are_chosen():
    """Typed maps are filled with integers in the process that measures; as many as the workload has."""
    field = field_of("swiss", key_type="int64", value_type="float64", size=1_000, memory=1_000)
    (taken,) = memories_of(field)
    assert (taken.contender, taken.entries) == ("swiss", 1_000)
    assert names(within_memory(field, [taken])) == ["swiss"]


def test_without_a_limit_memory_is_not_measured():
    """It would take longer than the rest."""
    field = field_of("swiss")
    assert list(memories_of(field)) == []
    assert within_memory(field, []) is field


# ---- the pick ----------------------------------------------------


def test_fastest_candidate_is_picked():
    """By the median of its rounds, with the figures in the reason."""
    result = chosen(field_of("swiss", "locked", ordered=False), swiss=200, locked=100, dict=50)
    assert result.pick == "swiss"
    assert "2.00 times the throughput of locked" in result.why
    assert "4.00 times that of dict" in result.why
    assert result.sure
    assert result.certainty.startswith("Sure: every round")


def test_overlapping_rounds_make_it_unsure():
    """The answer names with whom, and the spreads."""
    field = field_of("swiss", "locked")
    result = chosen(field, swiss=(100, 120, 120), locked=(90, 90, 110), dict=1)
    assert result.pick == "swiss"
    assert not result.sure
    assert "overlap with those of locked" in result.certainty
    assert "swiss spread by 17%, those of locked by 22%" in result.certainty


def test_one_round_is_not_sure():
    """There is nothing to compare it with."""
    assert not chosen(field_of("swiss"), swiss=(100,), dict=(1,)).sure


def test_dict_is_picked_unless_a_backend_is_clearly_faster():
    """What is a few per cent ahead is not worth leaving dict for."""
    field = field_of("swiss", "dict")
    enough = chosen(field, swiss=105, dict=100)
    assert enough.pick == "dict"
    assert enough.code == "m = {}"
    assert "Plain dict is enough: swiss" in enough.why
    assert chosen(field, swiss=120, dict=100).pick == "swiss"


def test_dict_is_not_picked_where_it_lacks_what_is_needed():
    """Though it is faster."""
    result = chosen(field_of("btree", ordered=True), btree=10, dict=100)
    assert result.pick == "btree"
    assert "only one that meets the needs" in result.why
    assert "0.10 times that of dict" in result.why


def test_nothing_is_picked_before_everybody_was_measured():
    """An interrupted run would favour who came first."""
    assert chosen(field_of("swiss", "locked"), swiss=100) is None


# ---- the command ----------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "requirements"),
    [
        (["--ordered"], {"ordered": True}),
        (["--snapshot", "--threads", "1"], {"snapshot": True}),
        (["--key-type", "int64"], {"key_types": "int64", "value_types": "int64"}),
        (["--key-type", "int64", "--value-type", "float64", "--threads", "1"], {"value_types": "float64"}),
        (["--require", "multi_value", "--stale"], {"multi_value": True}),
        (["--require", "iteration=snapshot", "--require", "callbacks_once"], {"callbacks_once": True}),
    ],
    ids=str,
)
def test_printed_code_makes_a_map_that_meets_the_needs(arguments, requirements):
    """The code of a real run, executed, gives a map of the backend that was picked, which promises it all."""
    result = invoke(*QUICK, *arguments, "--json")
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    (spec,) = [spec for spec in backends() if spec.name == record["pick"]]
    assert spec.capabilities.unmet(requirements) == []
    namespace = {}
    exec(record["code"], namespace)
    m = namespace["m"]
    assert isinstance(m, ConcurrentMap)
    assert type(m) is type(open_map(record["pick"], **dict(key_value(arguments))))
    m[2], m[1] = 20, 10
    m.publish()
    assert m[1] == 10
    if "ordered" in requirements:
        assert list(m) == [1, 2]
    if "snapshot" in requirements:
        assert dict(m.snapshot()) == {1: 10, 2: 20}
    if "multi_value" in requirements:
        m.add(1, 11)
        m.publish()
        assert sorted(m.get_all(1)) == [10, 11]
    if "mine" in namespace:
        assert namespace["mine"] is not m


def key_value(arguments):
    """Yield the arguments of open_map that the options ask for."""
    if "--key-type" in arguments:
        yield "key_type", "int64"
        yield "value_type", "float64" if "--value-type" in arguments else "int64"


def test_json_has_all_that_the_text_says():
    """Machine, workload, needs, figures with their rounds, who was ruled out, the pick and how sure it is."""
    record = json.loads(invoke(*QUICK, "--ordered", "--memory", "100", "--json").stdout)
    assert record["machine"]["cpu"]
    assert record["needs"][:3] == ["2 threads", "90 % reads, 10 % writes", "ordered"]
    assert {each["contender"] for each in record["figures"]} == {"btree", "dict"}
    assert all(len(each["rates"]) == choice.ROUNDS and each["rate"] > 0 for each in record["figures"])
    assert [(each["contender"], each["entries"]) for each in record["memory"]] == [("btree", 20)]
    assert {each["name"] for each in record["ruled_out"]} >= {"swiss", "dict"}
    assert record["pick"] == "btree"
    assert isinstance(record["sure"], bool)


def test_text_explains_the_pick():
    """Who was ruled out by what, figures, reason, certainty and code, in lines that can be copied."""
    result = invoke(*QUICK, "--ordered", "--threads", "2")
    assert result.exit_code == 0, result.output
    assert "ruled out: swiss: ordered is not promised" in result.stdout
    assert "dict (for comparison)" in result.stdout
    assert "pick here: btree. It is the only one that meets the needs." in result.stdout
    assert "Sure: nobody else meets the needs." in result.stdout
    assert '\nm = open_map("btree")\nwith m.handle() as mine:' in result.stdout


@pytest.mark.parametrize("arguments", [["--ordered"], ["--key-type", "int64"]], ids=["text", "integers"])
def test_keys_come_from_a_file(arguments, tmp_path):
    """Each word of a text is the key of one operation; each number, where keys are integers."""
    file = tmp_path / "numbers.txt"
    file.write_text("3 1 -4 1 9223372036854775807 9 2 6")
    result = invoke("choose", *arguments, "--keys", str(file), "--seconds", "0.01")
    assert result.exit_code == 0, result.output
    assert "every word of numbers.txt: 8 operations on 7 keys" in result.stdout


def test_without_a_terminal_nothing_is_asked(monkeypatch):
    """A script that says nothing about its workload gets the answer for the defaults."""

    def equal(field, seconds):
        for each in field.plan(seconds).contenders:
            yield Sample(each.name, 2, 1_000, 1.0)

    monkeypatch.setattr(choice, "samples_of", equal)
    result = CliRunner().invoke(_commands.app, ["choose"], input="")
    assert result.exit_code == 0, result.output
    assert "needs: 2 threads, 90 % reads, 10 % writes, reads must be fresh" in result.stdout
    assert "pick here: dict. Plain dict is enough" in result.stdout


def test_on_a_terminal_it_asks_for_the_workload():
    """Every question is asked there, on stderr, and the answers are the needs."""
    ours, theirs = pty.openpty()
    answers = ["1", "50", "", "30", "y", "n", "n", "object", "0"]
    os.write(ours, "".join(f"{answer}\n" for answer in answers).encode())
    with subprocess.Popen(
        [sys.executable, "-m", "intermodal", "choose", "--seconds", "0.01", "--json"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "TERM": "dumb"},
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        said = bytearray()
        reader = threading.Thread(target=drain, args=(ours, said), daemon=True)
        reader.start()
        answer = process.stdout.read()
    reader.join()
    os.close(ours)
    assert process.returncode == 0, said.decode(errors="replace")
    record = json.loads(answer)
    assert record["needs"] == ["1 thread", "50 % reads, 50 % writes", "ordered", "reads must be fresh"]
    assert "with 30 keys" in record["workload"]
    for question in ("threads", "change it", "file with keys", "entries", "order", "snapshots", "Megabytes"):
        assert question in said.decode()


def drain(terminal, said):
    """Take what is written to a terminal until nobody has it open."""
    try:
        while part := os.read(terminal, 4096):
            said += part
    except OSError:  # EIO: the other side is closed
        pass


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--threads", "0"], "at least 1; got 0"),
        (["--writes", "101"], "from 0 to 100 per cent; got 101"),
        (["--size", "0"], "take at least 1"),
        (["--size", "1", "--threads", "5"], "take at least 5"),
        (["--memory", "0"], "more than 0; got 0"),
        (["--seconds", "0"], "seconds must be more than 0; got 0"),
        (["--key-type", "int46"], "no type of keys 'int46'; did you mean 'int64'?"),
        (["--key-type", "int64", "--value-type", "float46"], "did you mean 'float64'?"),
        (["--value-type", "int64"], "keys are object and values int64: both must be object"),
        (["--require", "order"], "'order' is not a requirement; did you mean 'ordered'?"),
        (["--require", "iteration=best"], "iteration can be required to be one of 'snapshot'"),
        (["--require", "ordered=yes"], "ordered can only be required, as ordered=True"),
        (["--ordered", "--require", "multi_value"], "no installed backend meets these needs"),
        (["--lines"], "--lines says how to read a file of keys; give one with --keys FILE"),
        (["--keys", "/no/such/file"], "cannot read keys from '/no/such/file'"),
        (["--keys", __file__, "--size", "5"], "--size is for made-up keys"),
        (["--keys", __file__, "--key-type", "int64"], "no integer of 64 bits"),
        (["--colour"], "--colour"),
    ],
)
def test_bad_options_are_one_line_and_status_2(arguments, message, capsys):
    """Whatever is wrong is said in one line on stderr, before anything is measured."""
    assert cli.run(["choose", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("intermodal: ")
    assert message in captured.err


def test_keys_that_no_double_holds_are_refused(tmp_path, capsys):
    """The keys are the values too, and a value that is not equal to its key would be taken for a defect."""
    file = tmp_path / "large.txt"
    file.write_text(f"1 {2**53 + 1}")
    arguments = ["--keys", str(file), "--key-type", "int64", "--value-type", "float64"]
    assert cli.run(["choose", *arguments]) == 2
    assert "not all of them fit into a float64" in capsys.readouterr().err


def test_interrupted_choice_chooses_nothing(monkeypatch, capsys):
    """After Ctrl-C there is one line that says so, and the status of an interrupted command."""

    def interrupted(field, seconds):
        yield Sample("locked", 2, 1_000, 1.0)
        raise KeyboardInterrupt

    monkeypatch.setattr(choice, "samples_of", interrupted)
    assert cli.run(list(QUICK)) == 130
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "intermodal: interrupted before everybody was measured; nothing is chosen\n"


def test_wrong_result_is_one_line_and_status_1(monkeypatch, capsys):
    """A backend that fails the self-check stops the choice."""

    def wrong(field, seconds):
        raise SelfCheckError("locked", "key-1", "an entry", "KeyError")

    monkeypatch.setattr(choice, "samples_of", wrong)
    assert cli.run(list(QUICK)) == 1
    assert "key 'key-1': expected an entry, got KeyError" in capsys.readouterr().err


# ---- workloads of integers ----------------------------------------------------


def test_integer_keys_are_distinct_and_fit_a_double():
    """So that they can be values of any typed map."""
    numbers = workloads.make_integers(10_000)
    assert len(set(numbers)) == 10_000
    assert all(0 <= number < 2**53 and int(float(number)) == number for number in numbers)


def test_integer_keys_are_looked_up_with_other_objects_than_stored():
    """No look-up can succeed by identity alone."""
    share = workloads.Synthetic(workloads.write_mix(50), 200, integers=True).share(0, 1)
    stored = {id(key): key for key in share.fill}
    asked = [key for chunk in share.chunks for _, keys in chunk for key in keys if key > 256]
    assert set(asked) <= set(share.fill)
    assert not any(id(key) in stored for key in asked)
