/// What the receiver of an edge says to its sender.
package enum Answer: Equatable {
  /// To the greeting of that number: send up to so many values.
  case welcome(attempt: UInt32, credits: UInt32)
  /// The edge will not be served, and why.
  case refuse(reason: String)
  /// So many values have left the queue since the last time.
  case credit(UInt32)
  /// The receiver does not know the sender: say hello.
  case whoIsThere

  private var kind: WireFormat.Kind {
    switch self {
    case .welcome: .welcome
    case .refuse: .refuse
    case .credit: .credit
    case .whoIsThere: .whoIsThere
    }
  }

  package var bytes: [UInt8] {
    var bytes = ByteWriter()
    bytes.preamble(kind)
    switch self {
    case .welcome(let attempt, let credits):
      bytes.put(attempt)
      bytes.put(credits)
    case .refuse(let reason): bytes.put(reason)
    case .credit(let credits): bytes.put(credits)
    case .whoIsThere: break
    }
    return bytes.bytes
  }

  /// Reads a whole message.
  package init(_ bytes: UnsafeRawBufferPointer) throws(WireError) {
    var bytes = ByteReader(bytes)
    switch try bytes.takePreamble() {
    case .welcome: self = .welcome(attempt: try bytes.take(), credits: try bytes.take())
    case .refuse: self = .refuse(reason: try bytes.takeText())
    case .credit: self = .credit(try bytes.take())
    case .whoIsThere: self = .whoIsThere
    default: throw WireError("a receiver sent what only senders do")
    }
  }
}
