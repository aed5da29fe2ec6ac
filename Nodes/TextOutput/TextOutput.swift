public import Dataflow
public import Messages

/// Prints text on standard output, a line a turn.
public struct TextOutputNode: Node {
  public static let kind = "text-output"
  public static let summary = "Prints text on standard output, a line a turn."

  public struct Parameters: NodeParameters {
    public let label: String
    public let stream: Bool
    public init(_ read: inout ParameterReader) {
      label = read(
        "label", default: "",
        help: "Stands before each line, for example 'answer: '; {session} and {turn} in it are replaced.")
      stream = read(
        "stream", default: false, help: "Also shows the text on standard error while it comes in, clause by clause.")
    }
  }

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

  /// What has come of a turn so far.
  private struct Line {
    var text = ""
    var shown = ""
  }

  public mutating func run(_ ports: Ports) async throws {
    var lines: [Turn: Line] = [:]
    for try await event in ports.text.events {
      switch event {
      case .message(let piece):
        lines[piece.turn, default: Line()].text += piece.value.string
        if parameters.stream { show(&lines[piece.turn, default: Line()], of: piece.turn, isWhole: false) }
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

  private func finish(_ line: Line?, of turn: Turn) {
    guard var line else { return }
    if parameters.stream { show(&line, of: turn, isWhole: true) }
    let words = line.text.split(whereSeparator: \.isWhitespace).joined(separator: " ")
    if !words.isEmpty { context.print(label(turn) + words) }
  }

  /// Shows what is new up to the last clause's end.
  private func show(_ line: inout Line, of turn: Turn, isWhole: Bool) {
    let new = line.text.dropFirst(line.shown.count)
    let end = isWhole ? new.endIndex : new.lastIndex { ".,;:!?\n".contains($0) }.map(new.index(after:))
    guard let end, end > new.startIndex else { return }
    let clause = new[..<end]
    line.shown += clause
    let words = clause.split(whereSeparator: \.isWhitespace).joined(separator: " ")
    if !words.isEmpty { context.log("\(label(turn))\(words)") }
  }

  private func label(_ turn: Turn) -> String {
    parameters.label.replacing("{session}", with: turn.session.name).replacing("{turn}", with: "\(turn.epoch)")
  }
}
