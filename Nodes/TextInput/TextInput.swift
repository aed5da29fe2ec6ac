public import Dataflow
internal import Glibc
public import Messages

/// Says given texts, or the lines of standard input, each in a turn of its own: a keyboard instead of a microphone.
public struct TextInputNode: Node {
  public static let kind = "text-input"
  public static let summary = "Sends given texts, or the lines of standard input, each as a turn."
  public static let ending = Ending.explicit
  public static let opensTurns = true

  /// What graph files set; `antiphon nodes` tells of each.
  public struct Parameters: NodeParameters {
    public let texts: [String]
    public let session: String
    public init(_ read: inout ParameterReader) {
      texts = read(
        "text", default: ["-"], help: "A text, or a list of them, each a turn; '-' reads lines from standard input.")
      session = read("session", default: "text", help: "Name of the session.")
    }
  }

  /// What graph files connect; `antiphon nodes` tells of each.
  public struct Ports: PortSet {
    public let text: Output<Text>
    public init(_ bind: inout PortBinder, _ parameters: Parameters) throws {
      text = bind.output("text", help: "The texts, each whole.")
    }
  }

  private let parameters: Parameters
  private let context: NodeContext
  private var input: [UInt8] = []
  private var isAtEnd = false

  public init(_ parameters: Parameters, _ context: NodeContext) throws {
    self.parameters = parameters
    self.context = context
  }

  public mutating func run(_ ports: Ports) async throws {
    guard let session = context.beginSession(named: parameters.session) else { return }
    for text in parameters.texts where text != "-" { try await say(text, in: session, ports.text) }
    if parameters.texts.contains("-") {
      while let line = nextLine() { try await say(line, in: session, ports.text) }
    }
    context.endSession(session)
  }

  private func say(_ text: String, in session: Session, _ output: Output<Text>) async throws {
    let turn = context.beginTurn(in: session)
    try await output.send(Text(text), turn: turn)
    context.endTurn(turn)
  }

  /// The next line of standard input; nil at its end, or when the run is being stopped.
  private mutating func nextLine() -> String? {
    while !context.isStopping {
      if let end = input.firstIndex(of: UInt8(ascii: "\n")) {
        defer { input.removeSubrange(...end) }
        return String(decoding: input[..<end], as: UTF8.self)
      }
      if isAtEnd {
        defer { input = [] }
        return input.isEmpty ? nil : String(decoding: input, as: UTF8.self)
      }
      fill()
    }
    return nil
  }

  /// Waits a little for input, so that an idle terminal does not hold up the end of a run.
  private mutating func fill() {
    var poller = pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0)
    guard poll(&poller, 1, 50) > 0 else { return }
    var block = [UInt8](repeating: 0, count: 4_096)
    let got = read(STDIN_FILENO, &block, block.count)
    if got > 0 { input.append(contentsOf: block[..<got]) } else if got == 0 || errno != EINTR { isAtEnd = true }
  }
}
