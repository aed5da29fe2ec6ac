"""tools/models fetch against a hub on this machine, as users run it."""

import contextlib
import hashlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path
from unittest import mock

from antiphon_models import hub
from antiphon_models.console import Failure

from .hub_server import COMMIT, Hub, blob_sha1

TOOL = Path(__file__).resolve().parents[2] / "models"
RELEASE, CODEC = "gpt-omni/mini-omni2", "hubertsiuzdak/snac_24khz"
WEIGHTS = random.Random(1).randbytes(3_000_000)
FILES = {
    (RELEASE, "lit_model.pth"): WEIGHTS,
    (RELEASE, "small.pt"): random.Random(2).randbytes(70_000),
    (RELEASE, "ViT-B-32.pt"): random.Random(3).randbytes(50_000),
    (RELEASE, "tokenizer.json"): b'{"version": "1.0"}\n',
    (RELEASE, "model_config.yaml"): b"n_layer: 24\n",
    (CODEC, "config.json"): b"{}\n",
    (CODEC, "pytorch_model.bin"): random.Random(4).randbytes(60_000),
}
LARGE = {"lit_model.pth", "small.pt", "ViT-B-32.pt", "pytorch_model.bin"}


class FetchTests(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.models = self.folder / "models"
        self.hub = Hub(dict(FILES), LARGE)
        self.addCleanup(self.hub.close)

    def environment(self, **changes):
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
        kept = {name: value for name, value in kept.items() if not name.lower().endswith("_proxy")}
        own = {
            "HF_ENDPOINT": self.hub.endpoint,
            "HF_HOME": str(self.folder / "cache"),
            "HF_HUB_DOWNLOAD_TIMEOUT": "2",
            "ANTIPHON_MODELS": str(self.models),
        }
        return {**kept, **own, **changes}

    def start(self, *arguments, **changes):
        command = [sys.executable, str(TOOL), "fetch", *arguments]
        return subprocess.Popen(command, env=self.environment(**changes), stderr=subprocess.PIPE, text=True)

    def fetch(self, *arguments, status=0, **changes):
        """Runs it to its end; what it said."""
        process = self.start(*(arguments or ["mini-omni2"]), **changes)
        said = process.communicate(timeout=60)[1]
        self.assertEqual(process.returncode, status, said)
        self.assertNotIn("Traceback", said)
        return said

    def assert_whole(self, *names):
        for name, repository in (("mini-omni2", RELEASE), ("snac_24khz", CODEC)):
            if names and name not in names:
                continue
            expected = {file: content for (owner, file), content in FILES.items() if owner == repository}
            found = {path.name: path.read_bytes() for path in (self.models / name).iterdir()}
            record = json.loads(found.pop("antiphon-model.json"))
            self.assertEqual(found, expected)
            self.assertEqual((record["repository"], record["commit"]), (repository, COMMIT))
            digests = {file: hashlib.sha256(content).hexdigest() for file, content in expected.items()}
            self.assertEqual({file: entry["sha256"] for file, entry in record["files"].items()}, digests)
        self.assertEqual([path.name for path in self.models.glob(".*.part")], [])

    def assert_absent(self):
        self.assertFalse((self.models / "mini-omni2").exists())

    # MARK: What goes well

    def test_both_repositories_once(self):
        self.assertIn("ready", self.fetch())
        self.assert_whole()
        asked = len(self.hub.requests)
        self.assertIn("mini-omni2: present\nsnac_24khz: present", self.fetch())
        self.assertEqual(len(self.hub.requests), asked)
        listed = subprocess.run([sys.executable, str(TOOL), "list", "--verify"], env=self.environment(), capture_output=True)
        self.assertRegex(listed.stdout.decode(), r"mini-omni2 +present")

    def test_codec_alone(self):
        self.fetch("snac_24khz")
        self.assert_whole("snac_24khz")
        self.assert_absent()

    def test_all_files_are_of_one_commit(self):
        self.fetch("snac_24khz")
        paths = [path for server, _, path, _ in self.hub.requests if server == "hub"]
        self.assertEqual(paths[0], f"/{CODEC}/resolve/main/config.json")
        self.assertTrue(all(f"/resolve/{COMMIT}/" in path for path in paths[1:]), paths)

    def test_a_commit_can_be_named(self):
        self.fetch()
        self.assertIn("mini-omni2: present", self.fetch("mini-omni2", "--revision", COMMIT))
        (self.models / "mini-omni2" / "small.pt").unlink()
        self.fetch("mini-omni2", "--revision", COMMIT)
        other = COMMIT[::-1]
        self.assertIn("another version", self.fetch("mini-omni2", "--revision", other, status=1))
        self.assert_whole()

    def test_changed_model_is_fetched_again(self):
        self.fetch()
        path = self.models / "mini-omni2" / "small.pt"
        path.write_bytes(b"x" * 70_000)
        self.assertIn("small.pt has changed since it was fetched", self.fetch())
        self.assert_whole()
        self.assertEqual(len(self.hub.downloads("lit_model.pth")), 1)  # what had not changed was kept

    # MARK: Tokens

    def test_token_goes_to_the_hub_and_no_further(self):
        self.hub.token = "secret"
        said = self.fetch(status=1)
        self.assertIn("refuses access (401)", said)
        self.assertIn("HF_TOKEN", said)
        said = self.fetch(HF_TOKEN="secret")
        self.assertNotIn("secret", said)
        self.assert_whole()
        elsewhere = [headers for server, _, _, headers in self.hub.requests if server == "store"]
        self.assertEqual(len(elsewhere), 4)
        self.assertFalse(any("Authorization" in headers for headers in elsewhere))

    def test_token_that_is_none(self):
        said = self.fetch(status=1, HF_TOKEN="first\nsecret")
        self.assertIn("HF_TOKEN holds characters that no token has", said)
        self.assertNotIn("secret", said)
        self.assertEqual(self.hub.requests, [])

    # MARK: Connections that break

    def test_cut_connection_is_continued(self):
        self.hub.faults = [{"cut": 2_000_000}]
        self.assertIn("the connection was cut at 2000000 of 3000000 bytes; trying again", self.fetch())
        self.assert_whole()
        self.assertEqual(self.hub.downloads("lit_model.pth"), [None, "bytes=2000000-"])

    def test_server_that_falls_silent(self):
        self.hub.faults = [{"cut": 1_500_000, "stall": 20}]
        self.assertIn("no answer in time; trying again", self.fetch(HF_HUB_DOWNLOAD_TIMEOUT="1"))
        self.assert_whole()

    def test_server_that_ignores_ranges(self):
        self.hub.faults = [{"cut": 2_000_000}, {"no_range": True}]
        self.assertIn("does not continue a file: starting over", self.fetch())
        self.assert_whole()

    def test_server_that_continues_elsewhere(self):
        self.hub.faults = [{"cut": 2_000_000}, {"shift": 1}]
        self.assertIn("asked for bytes from 2000000 of 3000000, the server sends 'bytes 2000001-", self.fetch(status=1))
        self.assert_absent()

    def test_connection_that_breaks_again_and_again(self):
        self.hub.faults = [{"cut": 100_000}] * 3
        self.models.mkdir()
        with mock.patch.dict(os.environ, self.environment(), clear=True), contextlib.redirect_stderr(io.StringIO()):
            with self.assertRaisesRegex(Failure, "gave up after 3 tries at 300000 of 3000000 bytes"):
                hub.fetch("mini-omni2", self.models, "main", hub.Hub(delays=(0, 0)))
        self.assertIn("lit_model.pth: going on at 10 %", self.fetch())
        self.assert_whole()

    def test_busy_server(self):
        self.hub.status = [503, 429]
        said = self.fetch("snac_24khz")
        self.assertIn("the server answers 503; trying again", said)
        self.assertIn("the server answers 429; trying again", said)
        self.assert_whole("snac_24khz")

    def test_killed_run_is_continued_by_the_next(self):
        self.hub.faults = [{"cut": 2_000_000, "stall": 60}]
        process = self.start("mini-omni2", HF_HUB_DOWNLOAD_TIMEOUT="60")
        while not any(path.stat().st_size >= 2_000_000 for path in self.models.glob(".mini-omni2.part/.lit*")):
            self.assertIsNone(process.poll())
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        self.assert_absent()
        self.assertIn("lit_model.pth: going on at 66 %", self.fetch())
        self.assert_whole()
        self.assertEqual(self.hub.downloads("lit_model.pth"), [None, "bytes=2000000-"])

    def test_two_at_once(self):
        self.hub.faults = [{"cut": 2_000_000, "stall": 1}]
        runs = [self.start("mini-omni2", HF_HUB_DOWNLOAD_TIMEOUT="10") for _ in range(2)]
        said = [run.communicate(timeout=60)[1] for run in runs]
        self.assertEqual([run.returncode for run in runs], [0, 0], said)
        self.assert_whole()
        self.assertEqual(len(self.hub.downloads("small.pt")), 1)

    # MARK: What is refused

    def test_wrong_checksum_is_no_model(self):
        self.hub.faults = [{"content": WEIGHTS[:-1] + b"x"}]
        self.assertIn("does not have the checksum", self.fetch(status=1))
        self.assert_absent()
        self.assertEqual(list(self.models.glob(".mini-omni2.part/*lit*")), [])
        self.fetch()
        self.assert_whole()

    def test_damaged_partial_file_is_fetched_anew(self):
        self.hub.faults = [{"content": b"x" * 1_000_000, "cut": 1_000_000}]
        self.assertIn("the connection was cut", self.fetch())
        self.assert_whole()
        self.assertEqual(self.hub.downloads("lit_model.pth"), [None, "bytes=1000000-", None])

    def test_size_that_lies(self):
        self.hub.sizes = {"lit_model.pth": 2_999_999}
        self.assertIn("the server sends '3000000' bytes, and said before that it would be 2999999", self.fetch(status=1))
        self.assert_absent()

    def test_size_beyond_the_disk(self):
        self.hub.sizes = {"lit_model.pth": 10**15 - 1}
        self.assertRegex(self.fetch(status=1), r"MB free, \d+ MB needed to fetch mini-omni2")
        self.assert_absent()

    def test_missing_file(self):
        del self.hub.files[RELEASE, "small.pt"]
        self.assertIn("small.pt: the server has no such file (404)", self.fetch(status=1))
        self.assert_absent()

    def test_revision_that_is_not_there(self):
        self.assertIn("(404)", self.fetch("mini-omni2", "--revision", "next", status=1))

    def test_no_hub_at_all(self):
        self.hub.claimed = {"lit_model.pth": "xyz"}
        self.assertIn("the answer has no X-Linked-Etag or ETag, the checksum ('xyz')", self.fetch(status=1))
        self.assertIn("expected an address", self.fetch(status=1, HF_ENDPOINT="ftp://example.invalid"))
        self.assertIn("not an address", self.fetch(status=1, HF_ENDPOINT="http://127.0.0.1:many"))
        self.assertIn("refuses connections", self.fetch(status=1, HF_ENDPOINT="http://127.0.0.1:9"))
        self.assertIn("is not known", self.fetch(status=1, HF_ENDPOINT="http://no-such-host.invalid"))

    def test_redirects_that_lead_nowhere(self):
        self.hub.redirect = f"{self.hub.endpoint}/{RELEASE}/resolve/main/lit_model.pth"
        self.assertIn("redirected more than 10 times", self.fetch(status=1))
        self.hub.redirect = "file:///etc/passwd"
        self.assertIn("not safe to follow", self.fetch(status=1))
        self.hub.redirect = "http://[broken/lit_model.pth"
        self.assertIn("not an address", self.fetch(status=1))
        self.assert_absent()

    # MARK: The hub's cache

    def fill_cache(self, skip=()):
        """Files as the hub's client keeps them: blobs named by checksum, and links to them."""
        for (repository, name), content in FILES.items():
            folder = self.folder / "cache" / "hub" / f"models--{repository.replace('/', '--')}"
            digest = hashlib.sha256(content).hexdigest() if name in LARGE else blob_sha1(content)
            for path in ("blobs", "refs", f"snapshots/{COMMIT}"):
                (folder / path).mkdir(parents=True, exist_ok=True)
            (folder / "refs" / "main").write_text(COMMIT)
            if name not in skip:
                (folder / "blobs" / digest).write_bytes(content)
                (folder / "snapshots" / COMMIT / name).symlink_to(f"../../blobs/{digest}")

    def test_cached_files_are_not_downloaded(self):
        self.fill_cache(skip=["small.pt"])
        self.fetch()
        self.assert_whole()
        self.assertEqual(
            [path.rpartition("/")[2] for server, _, path, _ in self.hub.requests if server == "store"], ["small.pt"]
        )

    def test_offline(self):
        said = self.fetch(status=1, HF_HUB_OFFLINE="1")
        self.assertIn("HF_HUB_OFFLINE is set", said)
        self.fill_cache()
        self.fetch(HF_HUB_OFFLINE="1")
        self.assert_whole()
        self.assertEqual(self.hub.requests, [])

    def test_cache_where_there_is_no_network(self):
        self.fill_cache()
        self.assertIn("taking gpt-omni/mini-omni2 from", self.fetch(HF_ENDPOINT="http://127.0.0.1:9"))
        self.assert_whole()

    def test_damaged_cache(self):
        self.fill_cache()
        for path in self.folder.glob("cache/hub/*/blobs/*"):
            path.write_bytes(bytes(path.stat().st_size))
        self.assertIn("is damaged", self.fetch(status=1, HF_HUB_OFFLINE="1"))
        self.fetch()
        self.assert_whole()


if __name__ == "__main__":
    unittest.main()
