"""Files at an address: what lies there is read as from the disk, and spoken of as it was typed."""

from __future__ import annotations

import functools
import http.server
import io
import pickle
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from gibbsian.cli import main
from gibbsian.data import addresses, large_arrays, load_dataset
from gibbsian.data.addresses import fetched
from gibbsian.data.named import holds_pictures

fsspec = pytest.importorskip("fsspec")
ROWS = np.random.default_rng(0).normal(size=(200, 2))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    addresses.local_copy.cache_clear()
    yield tmp_path / "cache"
    addresses.local_copy.cache_clear()
    fsspec.filesystem("memory").rm("/", recursive=True)


def csv(rows: np.ndarray = ROWS) -> bytes:
    return ("a,b\n" + "".join(f"{a!r},{b!r}\n" for a, b in rows.tolist())).encode()


def put(path: str, content: bytes) -> str:
    fsspec.filesystem("memory").pipe(f"/{path}", content)
    return f"memory://{path}"


@pytest.mark.parametrize("name", ["x.csv", "x.npy", "x.npz", "x.parquet", "x.csv.gz"])
def test_each_kind_is_read_as_from_the_disk(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    if name.endswith(".npy"):
        np.save(file, ROWS)
    elif name.endswith(".npz"):
        np.savez(file, x=ROWS)
    elif name.endswith(".parquet"):
        pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        pq.write_table(pa.table({"a": ROWS[:, 0], "b": ROWS[:, 1]}), file)
    else:
        import gzip

        file.write_bytes(gzip.compress(csv()) if name.endswith(".gz") else csv())
    address = put(f"folder/{name}", file.read_bytes())
    there, here = load_dataset(address), load_dataset(file)
    assert there.name == address and there.transform == here.transform
    assert torch.equal(there.train, here.train) and torch.equal(there.test, here.test)


def test_a_folder_of_parquet_files_is_one_table_read_in_blocks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    for name, rows in (("1", ROWS[:120]), ("2", ROWS[120:])):
        content = io.BytesIO()
        pq.write_table(pa.table({"a": rows[:, 0], "b": rows[:, 1]}), content)
        put(f"parts/{name}.parquet", content.getvalue())
    put("parts/_SUCCESS", b"")
    monkeypatch.setattr(large_arrays, "LARGE", 1_000)
    for address in ("memory://parts", "memory://parts/"):
        addresses.local_copy.cache_clear()
        data = load_dataset(address)
        assert data.blocks is not None and len(data.blocks) == 160 and data.columns == ("a", "b")


def test_images_are_known_as_such() -> None:
    content = io.BytesIO()
    np.save(content, np.random.default_rng(0).integers(0, 256, (20, 6, 6)).astype(np.uint8))
    assert holds_pictures(put("images.npy", content.getvalue()))
    assert not holds_pictures(put("x.csv", csv())) and not holds_pictures("memory://nothing.npy")


def test_what_is_wrong_is_said_of_the_address_as_it_was_typed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put("a//b/gaps.csv", b"a,b\n1,2\n,3\n4,5\n6,7\n")
    put("other.bin", b"1,2")
    put("empty.csv", b"")
    pickled = io.BytesIO()
    np.save(pickled, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    put("objects.npy", pickled.getvalue())
    put("model.pkl", pickle.dumps([1.0]))
    typed = {
        "memory://a//b/gaps.csv": "has an empty cell at row 2",
        "memory://empty.csv": "is an empty file",
        "memory://objects.npy": "holds pickled objects, which are not opened",
        "memory://model.pkl": "is no file that can be read",
        "memory://other.bin": "is no file that can be read",
        "memory://nowhere.csv": "does not exist; check the address",
        "memory://nowhere/": "does not exist; check the address",
        "https://example.org/download?id=3": "has no ending by which its kind is known",
        "simplecache::memory://empty.csv": "is a chain of stores",
        "zip://x.csv::memory://x.zip": "is a chain of stores",
        "gopher://a//x.csv": "is an address of a kind that is not read",
        "s3://bucket/x.csv": "takes another package of fsspec's",
    }
    for address, said in typed.items():
        if address.startswith("s3") and _can_import("s3fs"):
            continue
        command = ["train", "cd", "--data", address, "--out", str(tmp_path / "run")]
        assert main(command) == 2, address
        out = capsys.readouterr().err
        assert address in out and said in out and out.count("\n") == 1, (address, out)
        assert str(tmp_path / "cache") not in out
    assert not list((tmp_path / "cache").rglob("nowhere*"))


def _can_import(name: str) -> bool:
    try:
        __import__(name)
    except ImportError:
        return False
    return True


def test_without_the_extra_a_sentence_names_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    assert main(["train", "cd", "--data", "https://h.org//x.csv"]) == 2
    out = capsys.readouterr().err
    assert "https://h.org//x.csv takes aiohttp: pip install 'gibbsian[remote]'" in out
    monkeypatch.setitem(sys.modules, "fsspec", None)
    assert main(["train", "cd", "--data", "s3://b//x.csv"]) == 2
    out = capsys.readouterr().err
    assert "s3://b//x.csv is an address, which takes fsspec: pip install 'gibbsian[remote]'" in out


def test_a_run_is_trained_resumed_and_scores_by_addresses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    address, run = put("x.csv", csv()), str(tmp_path / "run")
    assert main(["train", "nce", "--data", address, "--rounds", "3", "--out", run]) == 0
    assert main(["train", "--resume", run, "--rounds", "5"]) == 0
    capsys.readouterr()
    assert main(["score", run, address]) == 0
    scores = capsys.readouterr().out
    (tmp_path / "x.csv").write_bytes(csv())
    assert main(["score", run, str(tmp_path / "x.csv")]) == 0
    assert capsys.readouterr().out == scores
    assert main(["score", run, put("y.csv", b"a,c\n1,2\n")]) == 2
    assert "column 2 of memory://y.csv is called 'c'" in capsys.readouterr().err


def test_detect_reads_an_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["detect", put("folder/measured.csv", csv())]) == 0
    assert (tmp_path / "measured-detected" / "rows.csv").is_file()


def test_one_version_is_fetched_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, fetches = fsspec.filesystem("memory"), []
    get = type(store).get_file
    monkeypatch.setattr(
        type(store), "get_file", lambda *words, **named: (fetches.append(1), get(*words, **named))
    )
    address = put("x.csv", csv())
    for _ in range(2):
        with fetched(address) as path:
            assert path.read_bytes() == csv()
        addresses.local_copy.cache_clear()  # as in another process
    assert len(fetches) == 1
    put("x.csv", csv(ROWS[:50]))
    with fetched(address) as path:
        assert path.read_bytes() == csv(ROWS[:50])
    assert len(fetches) == 2 and not list(cache.rglob("part-*"))


def test_names_from_addresses_stay_in_the_cache(cache: Path) -> None:
    for address in ("memory://a/..%2f..%2fx.csv", "memory://..x.csv", "memory://a/\x1b[0m.csv"):
        put(address.removeprefix("memory://"), csv())
        with fetched(address) as path:
            assert cache in path.resolve().parents and path.name.isprintable()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path, list[str]]]:
    """A web server on the loopback interface, its folder, and what it was asked for."""
    pytest.importorskip("aiohttp")
    folder, asked = tmp_path / "served", []
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            if "refused" in self.path:
                self.send_error(403)
            elif "short" in self.path:
                self.send_response(200)
                self.send_header("Content-Length", "1000")
                self.end_headers()
                self.wfile.write(b"1,2\n")
            else:
                super().do_GET()

        def do_HEAD(self) -> None:
            if "refused" in self.path:
                self.send_error(403)
            else:
                super().do_HEAD()

        def log_message(self, *words: object) -> None:
            pass

    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{found.server_port}", folder, asked
        found.shutdown()


def test_a_web_server(
    server: tuple[str, Path, list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    host, folder, asked = server
    (folder / "x y.csv").write_bytes(csv())
    (folder / "short.csv").write_bytes(b"1,2\n")
    address = f"{host}/x%20y.csv?token=a.b/c"
    here = tmp_path / "x.csv"
    here.write_bytes(csv())
    assert torch.equal(load_dataset(address).train, load_dataset(here).train)
    addresses.local_copy.cache_clear()
    load_dataset(address)
    assert len(asked) == 1  # what the server says of the file had not changed
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}//x.csv"
    for typed, said in (
        (f"{host}//gone.csv", "does not exist; check the address"),
        (f"{host}/refused.csv", "cannot be fetched (403"),
        (f"{host}/short.csv", "/short.csv c"),
        (nobody, "cannot be fetched ("),
    ):
        assert main(["train", "cd", "--data", typed, "--out", str(tmp_path / "run")]) == 2
        out = capsys.readouterr().err
        assert typed in out and said in out and out.count("\n") == 1, out
