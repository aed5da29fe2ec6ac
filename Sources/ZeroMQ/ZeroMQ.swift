//===- ZeroMQ ---------------------------------------------------------------------------------------------------------
//
// A thin, typed binding of libzmq's stable C API.
//
//   Context        the library's state and its I/O threads
//   Socket         one socket, owned by one thread at a time
//   Frame          one message frame, owned; FrameStorage shares a received one without a copy
//   Multipart      the frames of one message, reusable
//   Poller         waits for sockets and file descriptors; Wakeup lets any thread end the wait
//   CurveKeyPair   keys, key files, allow-lists; Authenticator decides who may connect
//
//===------------------------------------------------------------------------------------------------------------------

internal import CZeroMQ

/// The version of the libzmq in use at run time, such as `(4, 3, 4)`.
public var libraryVersion: (major: Int, minor: Int, patch: Int) {
  var major: Int32 = 0
  var minor: Int32 = 0
  var patch: Int32 = 0
  zmq_version(&major, &minor, &patch)
  return (Int(major), Int(minor), Int(patch))
}

/// Whether this libzmq was built with CURVE, without which nothing can leave the machine safely.
public var supportsCurve: Bool { zmq_has("curve") == 1 }
