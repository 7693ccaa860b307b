"""Where a command may write, and what becomes of what it says: every place that cannot be is named before any
work, and no stream ends in a traceback.
"""

import ast
import errno
import io
import json
import os
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

import alignlab
from alignlab import cli
from alignlab.errors import ResourceError, ResumeRefused, UserError
from alignlab.run import RunDir, check_file, check_folder, read_run
from alignlab.run.places import check_out

SOURCES = Path(alignlab.__file__).parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(SOURCES.parent), "OMP_NUM_THREADS": "1"}
NOBODY = 65534


def opened(out):
    return RunDir.open(out, stage="walk", config={}, seed=0)


def alignlab_(*words, **options):
    return subprocess.run(
        [sys.executable, "-m", "alignlab.cli", *map(str, words)],
        env=ENVIRONMENT,
        capture_output=True,
        timeout=120,
        **options,
    )


# --out


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a file, links and a folder of somebody else in it; the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("data")
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "nowhere").symlink_to("gone")
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "linked.partial").symlink_to("real")
    (tmp_path / "mine.partial").mkdir()
    (tmp_path / "mine.partial" / "cat.jpg").write_text("a cat")
    os.mkfifo(tmp_path / "fifo")
    return tmp_path


OUTS = (
    ".",
    "..",
    "/",
    "a/..",
    "nul\0",
    "file",
    "file/run",
    "file/a/b",
    "link",
    "nowhere",
    "nowhere/run",
    "circle",
    "circle/run",
    "linked",
    "mine",
    "fifo",
    "fifo/run",
    "x" * 250,
    "ä" * 125,
    "x" * 300 + "/run",
    "/".join(["deep" * 50] * 30),
)


@pytest.mark.parametrize("out", OUTS, ids=lambda out: repr(out)[:20])
@pytest.mark.parametrize("resume", [True, False, "again"])
def test_an_out_that_cannot_be_is_named_before_any_work(place, out, resume):
    before = sorted(place.rglob("*"))
    with pytest.raises(UserError) as caught:
        RunDir.open(out, stage="walk", config={}, seed=0, resume=resume)
    assert caught.value.exit_code in (2, 7) and caught.value.remedy
    assert sorted(place.rglob("*")) == before and (place / "mine.partial" / "cat.jpg").read_text() == "a cat"


def test_an_empty_out_is_named(place, capsys):
    assert cli.main(["sft", "--out", ""]) == 2 and "--out is empty" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    [
        ["sft", "--model", "town-s", "--data", "town:demos"],
        ["eval", "--model", "town-s"],
        ["run", "--model", "town-s"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("out", ["file/run", "link", "nul\0"], ids=repr)
def test_commands_say_so_before_a_model_is_loaded(place, monkeypatch, capsys, command, out):
    monkeypatch.setattr(
        "alignlab.models.load.load_policy", lambda *_, **__: pytest.fail("a model was loaded")
    )
    if command[0] == "run" and out == "link":
        return  # a pipeline's folder may be a link
    assert cli.main([*command, "--out", out]) in (2, 7)
    assert "Traceback" not in capsys.readouterr().err


def test_a_link_above_a_run_and_a_link_to_a_finished_one_are_fine(place):
    opened("link/run").finish({})
    (place / "to-run").symlink_to("real/run")
    assert read_run("to-run").status == "done"
    with pytest.raises(UserError, match="is a link"):
        opened("to-run")


def test_a_run_that_was_killed_before_it_had_begun_is_begun(place):
    (place / "a.partial").mkdir()
    for name in (".lock", ".4321.0.tmp"):
        (place / "a.partial" / name).write_text("{")
    opened("a").finish({})
    assert read_run("a").status == "done"


def test_the_folder_of_a_pipeline_is_not_a_run(place):
    opened("real/run").finish({})
    for folder in ("real/run", "nul\0", "file", "nowhere"):
        with pytest.raises(UserError):
            check_folder(Path(folder))
    check_folder(Path("link"))


def as_nobody(function):
    """The exit code of a function in a process without root's rights."""
    child = os.fork()
    if child == 0:
        code = 99
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            function()
            code = 0
        except UserError as error:
            code = error.exit_code
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize("mode", [0o000, 0o555])
def test_a_folder_that_cannot_be_entered_or_written_is_a_resource(request, mode):
    shut = Path(tempfile.mkdtemp())  # nobody else may enter pytest's own
    request.addfinalizer(lambda: shutil.rmtree(shut))
    shut.chmod(mode)
    for path in (shut / "run", shut / "below" / "run"):
        assert as_nobody(lambda path=path: check_out(path)) == ResourceError.exit_code
        assert as_nobody(lambda path=path: check_file(path)) == ResourceError.exit_code
    shut.chmod(0o777)
    assert as_nobody(lambda: opened(shut / "run").finish({})) == 0


# a full disk, a limit of file sizes


@pytest.fixture
def small_files():
    """Files may be a kilobyte long; signals of the limit are errors."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(size=1000):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))

    yield limit
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


COMMANDS = {
    "a checkpoint": [
        "sft",
        "--model",
        "town-s",
        "--data",
        "town:demos",
        "--count",
        "8",
        "--epochs",
        "1",
        "--out",
        "{tmp}/new",
    ],
    "an export": ["export", "--data", "town:demos", "--count", "40", "--out", "{tmp}/new.jsonl"],
    "a table": ["export", "--data", "town:demos", "--count", "400", "--out", "{tmp}/new.parquet"],
    "a model": ["export", "--gguf", "--model", "town-s", "--out", "{tmp}/new.gguf"],
    "a page": ["report", "{tmp}/run"],
    "data": [
        "collect",
        "--model",
        "town-s",
        "--count",
        "8",
        "--per_prompt",
        "2",
        "--sampling.max_new_tokens",
        "8",
        "--out",
        "{tmp}/new",
    ],
}


@pytest.mark.parametrize("what", COMMANDS)
def test_a_limit_of_file_sizes_is_a_resource_and_leaves_nothing_behind(tmp_path, small_files, capsys, what):
    if what == "a page":
        opened(tmp_path / "run").finish({})
    before = sorted(tmp_path.rglob("*"))
    small_files(20_000 if what == "a checkpoint" else 1000)
    code = cli.main([word.format(tmp=tmp_path) for word in COMMANDS[what]])
    said = capsys.readouterr().err
    assert code == 8 and "cannot write" in said and "remedy" in said, said
    assert [
        path for path in sorted(tmp_path.rglob("*")) if path not in before and "new.partial" not in str(path)
    ] == []


# what else is written: pages, exports, tables


@pytest.fixture
def run(tmp_path):
    made = opened(tmp_path / "run")
    made.log(0, {"loss": 1.0})
    made.finish({"loss": 1.0})
    return made.out


def test_a_page_is_written_over_a_page_of_ours_and_over_nothing_else(run, tmp_path, capsys):
    data = tmp_path / "data.jsonl"
    data.write_text('{"prompt": "hello", "completion": "world"}\n')
    (tmp_path / "other.html").write_text("<!doctype html><title>mine</title>")
    kept = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for page in (*kept, tmp_path, run, run / "samples.jsonl", run / "manifest.json"):
        assert cli.main(["report", str(run), "--page", str(page)]) == 2, page
    assert {path: path.read_bytes() for path in kept} == kept and not (run / "samples.jsonl").exists()
    for _ in range(2):
        assert cli.main(["report", str(run), "--page", str(tmp_path / "page.html")]) == 0
    old = (tmp_path / "page.html").read_text().replace('<meta name="generator" content="alignlab">\n', "")
    (tmp_path / "page.html").write_text(old)  # as it was made before pages named their maker
    assert cli.main(["report", str(run), "--page", str(tmp_path / "page.html")]) == 0


WRITERS = {
    "walk": ["constitution", "walk", "hello", "--model", "town-s", "--page", "{file}"],
    "walk's table": ["constitution", "walk", "hello", "--model", "town-s", "--page", "{stem}.html"],
    "export": ["export", "--data", "town:demos", "--count", "3", "--out", "{file}"],
    "gguf": ["export", "--gguf", "--model", "town-s", "--out", "{file}"],
    "from-trl": ["from-trl", "--args", "--learning_rate 1e-5", "--method", "sft", "--write", "{file}"],
    "judge": ["redteam", "judge", "{rows}", "--queue", "{file}"],
    "pipeline": ["run", "--model", "town-s", "--fast", "--out", "{folder}"],
    "study": ["study", "over-optimisation", "--fast", "--out", "{folder}"],
}
NAMES = {
    "walk": "mine.html",
    "walk's table": "mine.json",
    "export": "mine.jsonl",
    "gguf": "mine.gguf",
    "from-trl": "mine.toml",
    "judge": "mine.jsonl",
    "pipeline": "summary.json",
    "study": "summary.json",
}


@pytest.mark.parametrize("command", WRITERS)
def test_nothing_is_written_over_what_the_command_did_not_write(tmp_path, monkeypatch, capsys, command):
    monkeypatch.setattr(
        "alignlab.models.load.load_policy", lambda *_, **__: pytest.fail("a model was loaded")
    )
    rows, file = tmp_path / "rows.jsonl", tmp_path / NAMES[command]
    rows.write_text('{"prompt": "hello", "completion": "I cannot help with that."}\n')
    file.write_text('{"id": "a", "human_label": "refusal"}\n')
    words = [
        word.format(file=file, stem=file.with_suffix(""), rows=rows, folder=tmp_path)
        for word in WRITERS[command]
    ]
    assert cli.main(words) == 2
    said = capsys.readouterr().err
    assert file.name in said and file.read_text() == '{"id": "a", "human_label": "refusal"}\n'


def test_what_a_command_wrote_itself_is_written_again(tmp_path, capsys):
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"prompt": "hello", "completion": "I cannot help with that."}\n')
    for words in (
        [
            "from-trl",
            "--args",
            "--learning_rate 1e-5",
            "--method",
            "sft",
            "--write",
            str(tmp_path / "a.toml"),
        ],
        ["redteam", "judge", str(rows), "--queue", str(tmp_path / "queue.jsonl")],
    ):
        assert [cli.main(words), cli.main(words)] == [0, 0]


# streams


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["sft", "--help"],
        ["runs", "."],
        ["sft", "--print-config"],
        ["sft", "--print-config", "--json"],
    ],
    ids=" ".join,
)
def test_an_output_that_is_full_is_said(tmp_path, words):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "alignlab.cli", *words],
            stdout=full,
            stderr=subprocess.PIPE,
            env=ENVIRONMENT,
            cwd=tmp_path,
            timeout=60,
        )
    assert done.returncode == 8 and done.stderr.startswith(
        b"alignlab: the output cannot be written: No space left on device"
    )


def shell(line, tmp_path, **environment):
    return subprocess.run(
        ["bash", "-c", line.replace("alignlab", f"{shlex.quote(sys.executable)} -m alignlab.cli")],
        cwd=tmp_path,
        capture_output=True,
        timeout=300,
        env=ENVIRONMENT | environment,
    )


@pytest.mark.parametrize(
    "line",
    [
        "alignlab runs <&-",
        "alignlab runs >&-",
        "alignlab runs 2>&-",
        "alignlab runs <&- >&- 2>&-",
        "alignlab runs 2>/dev/full",
        "alignlab --help | head -1",
    ],
)
def test_closed_streams_end_in_no_traceback(tmp_path, line):
    done = shell(line, tmp_path)
    assert done.returncode == 0 and b"Traceback" not in done.stderr and b"Exception" not in done.stderr


def test_a_pipe_to_something_else_that_breaks_is_no_success(monkeypatch, capsys):
    """Only the reader of what we say may go in peace: a command whose server or helper died ended with exit
    code 0 and without a word.
    """
    monkeypatch.setattr("alignlab.cli.entry._main", raising(BrokenPipeError(errno.EPIPE, "Broken pipe")))
    with pytest.raises(BrokenPipeError):
        cli.main(["runs"])
    read, write = os.pipe()
    os.close(read)
    with open(write, "w", encoding="utf-8") as gone:
        for stream in ("stderr", "stdout"):
            with monkeypatch.context() as patch:
                patch.setattr(sys, stream, gone)
                if stream == "stdout":
                    patch.setattr("alignlab.cli.entry._main", lambda _: print("x" * 100_000) or 0)
                assert cli.main(["runs"]) == 0


def test_out_of_memory_is_one_document_with_json(monkeypatch, capsys):
    monkeypatch.setattr("alignlab.cli.entry._main", raising(MemoryError()))
    assert cli.main(["runs", "--json"]) == 8
    out, err = capsys.readouterr()
    assert json.loads(out)["what"] == "out of memory" and err.startswith(
        "alignlab: out of memory\n  remedy: "
    )


def test_standard_output_stays_whose_it_has_become(monkeypatch, capsys):
    """A command that ends after somebody else has put a stream in place does not put its own back."""
    monkeypatch.setattr(sys, "stdout", sys.stdout)  # put back behind the test
    theirs = io.StringIO()
    monkeypatch.setattr("alignlab.cli.entry._main", lambda _: setattr(sys, "stdout", theirs) or 0)
    assert cli.main(["runs"]) == 0 and sys.stdout is theirs


def raising(error):
    def fail(_):
        raise error

    return fail


def test_what_is_said_does_not_go_into_files_where_streams_are_closed(tmp_path):
    """A file that is opened first gets the number of a closed stream."""
    sft = "alignlab sft --model town-s --data town:demos --count 8 --epochs 1 --out"
    assert shell(f"{sft} closed <&- >&- 2>&-", tmp_path).returncode == 0
    assert shell(f"{sft} open 2>/dev/full", tmp_path).returncode == 0
    for name in ("metrics.jsonl", "config.json", "data/demonstrations.jsonl"):
        read = [
            [
                {key: value for key, value in row.items() if not key.startswith("time/")}
                for row in map(json.loads, (tmp_path / run / name).read_text().splitlines())
            ]
            if name.endswith("l")
            else (tmp_path / run / name).read_text()
            for run in ("closed", "open")
        ]
        assert read[0] == read[1]


ASCII = {
    "LC_ALL": "C",
    "LANG": "C",
    "PYTHONUTF8": "0",
    "PYTHONCOERCECLOCALE": "0",
    "PYTHONIOENCODING": "ascii",
}


def test_an_ascii_locale_changes_no_file_and_breaks_no_line(tmp_path):
    rows = [
        {"prompt": "Où?", "completion": "Là-bas, près du château 😀"},
        {"prompt": "Wer?", "completion": "Niemand, süß"},
    ] * 4
    (tmp_path / "données.jsonl").write_text(
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8"
    )
    sft = "alignlab sft --model town-s --data données.jsonl --epochs 1 --out"
    done = shell(f"{sft} 'modèle'", tmp_path, **ASCII)
    assert done.returncode == 0, done.stderr
    written = (tmp_path / "modèle" / "data" / "demonstrations.jsonl").read_text(encoding="utf-8")
    assert "château 😀" in written and all(
        line.isascii() for line in (done.stdout.decode("ascii"), done.stderr.decode("ascii"))
    )
    assert (
        shell(
            "alignlab report modèle && alignlab runs verify modèle && alignlab runs doctor modèle && "
            "alignlab view --data données.jsonl --model town-s && "
            "alignlab export --data données.jsonl --out zurück.csv",
            tmp_path,
            **ASCII,
        ).returncode
        == 0
    )
    assert "château" in (tmp_path / "zurück.csv").read_text(encoding="utf-8")


NO_FILES = ("os", "recorded", "tarfile", "RunDir", "Store", "Image", "webbrowser", "reply")
"""Whose `open` opens no file of text."""


def opens_text(call):
    """Whether this call opens a file, or reads what a process says, as text and names no encoding."""
    words = {word.arg: word.value for word in call.keywords}
    if "encoding" in words:
        return False
    method = isinstance(call.func, ast.Attribute)
    name = call.func.attr if method else getattr(call.func, "id", "")
    if name in ("read_text", "write_text"):
        return method
    if name in ("run", "Popen", "check_output"):
        return "text" in words
    if name not in ("open", "fdopen", "NamedTemporaryFile"):
        return False
    owner = call.func.value if method else None
    owner = getattr(owner, "id", "") or getattr(owner, "attr", "")
    given = [a.value for a in (*call.args[:2], words.get("mode")) if isinstance(a, ast.Constant)]
    mode = next((mode for mode in given if isinstance(mode, str) and set(mode) <= set("rwxab+t")), "r")
    if owner == "gzip":
        return "t" in mode
    return owner not in NO_FILES and "b" not in mode


def test_every_text_file_is_opened_as_utf_8():
    """Else a locale decides what our files hold."""
    wrong = []
    for file in SOURCES.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_bytes())):
            if isinstance(node, ast.Call) and opens_text(node):
                wrong.append(f"{file.relative_to(SOURCES)}:{node.lineno}")
    assert wrong == []


# a lock that a kill leaves, and a SIGTERM in long work


def test_a_lock_that_a_kill_left_in_a_finished_run_goes_when_it_is_opened(run):
    (run / ".lock").write_text("1")
    assert opened(run).done and not (run / ".lock").exists()


LONG = {
    "collect": ["collect", "--model", "town-s", "--count", "2000"],
    "revise": [
        "constitution",
        "revise",
        "--model",
        "town-s",
        "--critic",
        "town-s",
        "--data",
        "town:risky",
        "--count",
        "2000",
        "--chunk",
        "8",
    ],
    "redteam": ["redteam", "--model", "town-s", "--goals", "200"],
    "eval": ["eval", "--model", "town-s", "--prompts", "2000"],
    "run": ["run", "--model", "town-s", "--fast"],
}


@pytest.mark.parametrize(
    "command",
    ["collect", *(pytest.param(name, marks=pytest.mark.campaign) for name in LONG if name != "collect")],
)
def test_a_sigterm_says_how_to_go_on_and_keeps_what_was_made(tmp_path, command):
    out = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-m", "alignlab.cli", *LONG[command], "--out", out],
        env=ENVIRONMENT,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    try:
        while process.poll() is None and not any(
            path.name == "run.json" for path in tmp_path.rglob("run.json")
        ):
            time.sleep(0.05)
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=120)[1].decode()
    finally:
        process.kill()
    assert process.returncode == 143 and "Traceback" not in said and "the same command goes on" in said
    assert any(tmp_path.rglob("*.partial/run.json")) or any(out.glob("*/run.json"))


def test_somebody_elses_folder_is_refused(place):
    with pytest.raises(ResumeRefused, match="is no unfinished run"):
        opened("mine")
