#if Images
  public import Dataflow
  public import Messages

  /// Reads pictures from files, one for each turn of what it follows.
  ///
  /// A question about a picture is one turn: the same speech (or text) goes to this node, which adds the picture to the
  /// turn when the first of it comes. So whoever waits for both finds them in one turn, and a picture can be taken for
  /// every question of a conversation: the file is read anew each time, and a program that keeps a camera's newest frame
  /// there, replacing it by renaming, makes it a camera. A picture without a question follows an empty text.
  public struct ImageCaptureNode: Node {
    public static let kind = "image-capture"
    public static let summary =
      "Reads JPEG or PNG files: a picture for each turn of the speech or text that it follows."

    public enum Source: String, CaseIterable, Sendable {
      case speech, text
    }
    public enum Scope: String, CaseIterable, Sendable {
      case session, turn
    }

    /// What graph files set; `antiphon nodes` tells of each.
    public struct Parameters: NodeParameters {
      public let paths: [String]
      public let follows: Source
      public let each: Scope

      public init(_ read: inout ParameterReader) {
        paths = read.paths(
          "path",
          help: """
            JPEG or PNG file, or a list of them; it is read when a turn begins. The last one stays. A program that keeps a \
            camera's newest frame there, replacing the file by renaming, makes it a camera.
            """)
        follows = read(
          "follows", default: .speech, help: "Whose turns get the pictures; the input is called 'speech' or 'text'.")
        each = read(
          "each", default: .session,
          help: """
            Of several files: 'session': one for each session, in the order in which they begin; 'turn': one for each \
            turn of a session.
            """)
        if paths.isEmpty { read.reject("path", "the list is empty; name at least one picture") }
        if paths.contains("-") { read.reject("path", "pictures are not read from standard input; name a file") }
      }
    }

    /// What graph files connect; `antiphon nodes` tells of each.
    public struct Ports: PortSet {
      /// The one that the parameters name.
      public let speech: Input<AudioChunk>?
      public let text: Input<Text>?
      public let image: Output<ImageFrame>
      public init(_ bind: inout PortBinder, _ parameters: Parameters) throws {
        let help = "Whose turns get the pictures; nothing else is made of it."
        speech = parameters.follows == .speech ? bind.input("speech", help: help) : nil
        text = parameters.follows == .text ? bind.input("text", help: help) : nil
        image = bind.output(
          "image", help: "The picture, as stored (EXIF orientation is not applied): RGB, or RGBA with opacity."
        )
      }
    }

    public static var libraries: [Library] { [JPEGDecoder.library, PNGDecoder.library] }

    private let parameters: Parameters
    private let context: NodeContext
    /// Turns that have had their picture.
    private var served: Set<Turn> = []
    private var places: [Session: Int] = [:]
    private var sessionsBegun = 0

    /// - Throws: ``PictureFileError`` if there is only one file and it cannot be read, so that the graph does not start.
    public init(_ parameters: Parameters, _ context: NodeContext) throws {
      self.parameters = parameters
      self.context = context
      if let path = parameters.paths.first, parameters.paths.count == 1 { _ = try PictureFile.read(path) }
    }

    public mutating func run(_ ports: Ports) async throws {
      if let speech = ports.speech { try await follow(speech, ports.image) }
      if let text = ports.text { try await follow(text, ports.image) }
    }

    private mutating func follow<Value>(_ input: Input<Value>, _ output: Output<ImageFrame>) async throws {
      for try await event in input.events {
        switch event {
        case .sessionBegan(let session):
          places[session] = sessionsBegun
          sessionsBegun += 1
        case .message(let first):
          guard served.insert(first.turn).inserted, let picture = picture(for: first.turn) else { continue }
          try await output.send(picture, following: first)
        case .turnEnded(let turn): served.remove(turn)
        case .turnCut(let cut):
          served = served.filter { $0.session != cut.session || $0.epoch > cut.epoch || $0.epoch == 0 }
        case .sessionEnded(let session):
          served = served.filter { $0.session != session }
          places[session] = nil
        }
      }
    }

    /// Nil, and the turn has failed, when the file cannot be read.
    private func picture(for turn: Turn) -> ImageFrame? {
      let place = parameters.each == .session ? places[turn.session] ?? 0 : max(1, Int(turn.epoch)) - 1
      do throws(PictureFileError) {
        let picture = try PictureFile.read(parameters.paths[min(place, parameters.paths.count - 1)])
        if let remark = picture.remark { context.log(remark) }
        return picture.frame
      } catch {
        context.fail(turn, because: "\(error)")
        return nil
      }
    }
  }
#endif
