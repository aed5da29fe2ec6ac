import os
import tempfile
import unittest

import zmq
from zmq.auth.thread import ThreadAuthenticator
from zmq.utils.monitor import recv_monitor_message

from antiphon.sockets import Guard, KeyFileError, Keys, connect


@unittest.skipUnless(zmq.has("curve"), "this libzmq has no CURVE")
class KeyTests(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.server_public, self.server_secret = zmq.curve_keypair()
        self.public, self.secret = zmq.curve_keypair()
        self.write("coordinator.pub", b"# The coordinator.\n\n" + self.server_public + b"  # coordinator\n")
        self.write("shout.key", b"# Keep mode 0600.\nsecret " + self.secret + b"\npublic " + self.public + b"\n")

    def write(self, name, data):
        with open(os.path.join(self.folder, name), "wb") as file:
            file.write(data)
        os.chmod(file.name, 0o600 if name.endswith(".key") else 0o644)

    def test_a_process_proves_itself(self):
        context = zmq.Context()
        self.addCleanup(context.destroy, 0)
        authenticator = ThreadAuthenticator(context)
        authenticator.start()
        self.addCleanup(authenticator.stop)
        certificates = os.path.join(self.folder, "allowed")
        os.mkdir(certificates)
        self.write("allowed/shout.key", b'metadata\ncurve\n    public-key = "' + self.public + b'"\n')
        authenticator.configure_curve(domain="*", location=certificates)
        server = context.socket(zmq.ROUTER)
        server.curve_server, server.curve_secretkey, server.rcvtimeo = True, self.server_secret, 10_000
        port = server.bind_to_random_port("tcp://127.0.0.1")
        client = connect(
            context, f"tcp://127.0.0.1:{port}", "coordinator", Keys(self.folder, "shout"), linger=0, limit=1 << 20
        )
        client.send(b"it is me")
        self.addCleanup(client.close)
        self.addCleanup(server.close)
        self.assertEqual(server.recv_multipart()[1], b"it is me")

    def test_only_who_is_known_may_send(self):
        os.mkdir(os.path.join(self.folder, "far"))
        for name in ("near", "stranger"):
            public, secret = zmq.curve_keypair()
            self.write(f"{name}.pub" if name == "near" else f"far/{name}.pub", public + b"\n")
            self.write(f"{name}.key" if name == "near" else f"far/{name}.key", b"secret " + secret + b"\n")
        self.write("shout.pub", self.public + b"\n")
        self.write("far/shout.pub", self.public + b"\n")
        context = zmq.Context()
        self.addCleanup(context.destroy, 0)
        keys = Keys(self.folder, "shout")
        guard = Guard(context, keys, ["near"])
        self.addCleanup(guard.close)
        server = context.socket(zmq.ROUTER)
        keys.guard(server)
        server.rcvtimeo = 10_000
        malformed = server.get_monitor_socket(zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL)
        port = server.bind_to_random_port("tcp://127.0.0.1")
        self.addCleanup(malformed.close)
        self.addCleanup(server.close)
        address = f"tcp://127.0.0.1:{port}"
        stranger = connect(context, address, "shout", Keys(os.path.join(self.folder, "far"), "stranger"), 0, 1 << 20)
        refused = stranger.get_monitor_socket(zmq.EVENT_HANDSHAKE_FAILED_AUTH)
        self.addCleanup(refused.close)
        self.addCleanup(stranger.close)
        plain = connect(context, address, "shout", None, 0, 1 << 20)
        self.addCleanup(plain.close)
        known = connect(context, address, "shout", Keys(self.folder, "near"), 0, 1 << 20)
        self.addCleanup(known.close)
        for client, words in ((stranger, b"it is I"), (plain, b"it is I"), (known, b"it is me")):
            client.send(words)
        self.assertEqual(server.recv_multipart()[1], b"it is me")
        self.wait_for(refused, zmq.EVENT_HANDSHAKE_FAILED_AUTH)
        self.wait_for(malformed, zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL)
        with self.assertRaises(zmq.Again):
            server.recv_multipart(zmq.NOBLOCK)

    def wait_for(self, monitor, event):
        monitor.rcvtimeo = 10_000
        while recv_monitor_message(monitor)["event"] != event:
            pass

    def test_missing_keys_are_named(self):
        with self.assertRaisesRegex(KeyFileError, "other.key"):
            Keys(self.folder, "other")
        self.write("empty.key", b"# nothing\n")
        with self.assertRaisesRegex(KeyFileError, "holds no key"):
            Keys(self.folder, "empty")

    def test_a_secret_that_others_can_read_is_refused(self):
        for mode in (0o640, 0o604, 0o660):
            os.chmod(os.path.join(self.folder, "shout.key"), mode)
            with self.assertRaisesRegex(KeyFileError, "chmod 600"):
                Keys(self.folder, "shout")
        os.chmod(os.path.join(self.folder, "shout.key"), 0o400)
        Keys(self.folder, "shout")


if __name__ == "__main__":
    unittest.main()
