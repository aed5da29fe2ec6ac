public import Dataflow
public import Messages

/// Prints text on standard output, a line a turn.
public struct TextOutputNode: Node {
  public static let kind = "text-output"
  public static let summary = "Prints text on standard output, a line a turn."

  /// What graph files set; `antiphon nodes` tells of each.
  public struct Parameters: NodeParameters {
    public let label: String
    public let stream: Bool
    public init(_ read: inout ParameterReader) {
      label = read(
        "label", default: "",
        help: "Stands before each line, for example 'answer: '; {session} and {turn} in it are replaced.")
      stream = read(
        "stream", default: false, help: "Also shows the text on the terminal while it comes in.")
    }
  }

  /// What graph files connect; `antiphon nodes` tells of each.
  public struct Ports: PortSet {
    public let text: Input<Text>
    public init(_ bind: inout PortBinder, _ parameters: Parameters) throws {
      text = bind.input("text", help: "Pieces of text; those of a turn make a line.")
    }
  }

  private let parameters: Parameters
  private let context: NodeContext

  public init(_ parameters: Parameters, _ context: NodeContext) throws {
    self.parameters = parameters
    self.context = context
  }

  public mutating func run(_ ports: Ports) async throws {
    // What has come of each turn so far.
    var lines: [Turn: String] = [:]
    for try await event in ports.text.events {
      switch event {
      case .message(let piece):
        lines[piece.turn, default: ""] += piece.value.string
        if parameters.stream { context.show(line(lines[piece.turn, default: ""], of: piece.turn)) }
      case .turnEnded(let turn):
        finish(lines.removeValue(forKey: turn), of: turn)
      case .turnCut(let cut):
        // What was said before the interruption still counts as said.
        let stopped = lines.keys.filter { $0.session == cut.session && $0.epoch != 0 && $0.epoch <= cut.epoch }
        for turn in stopped.sorted(by: { $0.epoch < $1.epoch }) { finish(lines.removeValue(forKey: turn), of: turn) }
      case .sessionEnded(let session):
        let open = lines.keys.filter { $0.session == session }
        for turn in open.sorted(by: { $0.epoch < $1.epoch }) { finish(lines.removeValue(forKey: turn), of: turn) }
      case .sessionBegan: break
      }
    }
  }

  private func finish(_ text: String?, of turn: Turn) {
    if let text, text.contains(where: { !$0.isWhitespace }) { context.print(line(text, of: turn)) }
  }

  private func line(_ text: String, of turn: Turn) -> String {
    label(turn) + text.split(whereSeparator: \.isWhitespace).joined(separator: " ")
  }

  private func label(_ turn: Turn) -> String {
    parameters.label.replacing("{session}", with: turn.session.name).replacing("{turn}", with: "\(turn.epoch)")
  }
}
