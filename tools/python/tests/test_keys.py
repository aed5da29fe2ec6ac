import os
import tempfile
import unittest

import zmq
from zmq.auth.thread import ThreadAuthenticator

from antiphon.sockets import KeyFileError, Keys, connect


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
