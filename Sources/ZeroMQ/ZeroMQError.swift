internal import CZeroMQ

#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Musl)
  internal import Musl
#else
  internal import Darwin
#endif

/// A failure of a ZeroMQ operation: what failed, on which endpoint, why, and how to mend it.
public struct ZeroMQError: Error, Sendable, Equatable {
  /// Why an operation failed.
  public enum Code: Sendable, Hashable {
    /// The context was shut down (`ETERM`): the thread should close its sockets and return.
    case terminated
    /// A send or receive time-out passed (`EAGAIN`). The `try` verbs report this as `false` or `nil` instead.
    case timedOut
    /// Another socket is bound to the address.
    case addressInUse
    /// The address does not belong to this machine.
    case addressNotAvailable
    /// There is no network interface of that name or address.
    case noSuchDevice
    /// The operating system forbids it.
    case permissionDenied
    /// The path of an `ipc` address is longer than the operating system allows.
    case pathTooLong
    /// A mandatory router has no route to the peer, or the network has none to the host.
    case hostUnreachable
    /// Nobody listens there (`inproc` and `ipc`).
    case connectionRefused
    /// A malformed address, or a value that the option does not take.
    case invalidArgument
    /// The endpoint was never bound or connected, or a folder in the path of an `ipc` address does not exist.
    case noSuchEndpoint
    /// The socket's protocol (request, reply) does not allow the operation now.
    case wrongState
    /// The context's or the process's limit on sockets is reached.
    case tooManySockets
    /// The socket is closed.
    case notASocket
    /// The transport is unknown, or does not fit the socket.
    case unsupportedTransport
    /// No memory for the message.
    case outOfMemory
    /// Any other `errno`.
    case other(Int32)
  }

  /// Why it failed.
  public let code: Code
  /// What was being done, such as `bind`.
  public let operation: String
  /// The endpoint concerned, if any.
  public let endpoint: String?
  /// The cause, and a remedy where one is known.
  public let message: String

  /// Makes an error of an `errno` that libzmq set.
  ///
  /// - Parameters:
  ///   - number: The error's number.
  ///   - operation: What was being done.
  ///   - endpoint: The endpoint concerned.
  @inline(never)
  package init(errno number: Int32, operation: String, endpoint: String? = nil) {
    self.code = Code(errno: number)
    self.operation = operation
    self.endpoint = endpoint
    let cause = zmq_strerror(number).map { String(cString: $0) } ?? "error \(number)"
    self.message = code.remedy.map { "\(cause); \($0)" } ?? cause
  }

  package init(_ code: Code, operation: String, endpoint: String? = nil, message: String) {
    self.code = code
    self.operation = operation
    self.endpoint = endpoint
    self.message = message
  }

  /// The error that libzmq reported last on this thread.
  @inline(never)
  static func last(_ operation: String, endpoint: String? = nil) -> ZeroMQError {
    ZeroMQError(errno: zmq_errno(), operation: operation, endpoint: endpoint)
  }
}

extension ZeroMQError: CustomStringConvertible {
  public var description: String {
    let place = endpoint.map { " \($0)" } ?? ""
    return "\(operation)\(place): \(message)"
  }
}

extension ZeroMQError.Code {
  init(errno number: Int32) {
    self =
      switch number {
      case ETERM: .terminated
      case EAGAIN: .timedOut
      case EADDRINUSE: .addressInUse
      case EADDRNOTAVAIL: .addressNotAvailable
      case ENODEV: .noSuchDevice
      case EACCES, EPERM: .permissionDenied
      case ENOENT: .noSuchEndpoint
      case ENAMETOOLONG: .pathTooLong
      case EHOSTUNREACH: .hostUnreachable
      case ECONNREFUSED: .connectionRefused
      case EINVAL: .invalidArgument
      case EFSM: .wrongState
      case EMFILE, ENFILE: .tooManySockets
      case ENOTSOCK: .notASocket
      case EPROTONOSUPPORT, ENOCOMPATPROTO: .unsupportedTransport
      case ENOMEM: .outOfMemory
      default: .other(number)
      }
  }

  /// What the user can do about it.
  fileprivate var remedy: String? {
    switch self {
    case .terminated: "the context was shut down"
    case .addressInUse: "another process or socket is bound there: stop it or choose another address"
    case .addressNotAvailable: "this machine has no such address: bind to one of its own"
    case .noSuchDevice: "no network interface has that name or address"
    case .permissionDenied: "check the folder's permissions, or choose a port above 1023"
    case .noSuchEndpoint: "not bound or connected there; for ipc, the folder must exist"
    case .pathTooLong: "an ipc path may have about 100 bytes: use a shorter folder"
    case .hostUnreachable: "no route to that peer: it has not connected, or it has gone"
    case .connectionRefused: "nobody is bound there"
    case .tooManySockets: "raise the context's maxSockets or the process's limit on open files (ulimit -n)"
    case .unsupportedTransport: "use tcp://, ipc:// or inproc://"
    default: nil
    }
  }
}
